-- Ports of birds that sources touched lately, to see who sweeps over several birds.

CREATE TABLE contacts (
    id SERIAL,
    src TEXT NOT NULL,
    port BIGINT NOT NULL,
    node_id TEXT NOT NULL,
    address TEXT NOT NULL,
    first_contact BIGINT NOT NULL,
    last_contact BIGINT NOT NULL,
    incident BIGINT REFERENCES incidents (id)
);
CREATE INDEX contacts_by_source ON contacts (src);
CREATE INDEX contacts_by_time ON contacts (last_contact);

-- Which sightings have been counted, so that a copy changes nothing.
CREATE TABLE contact_sightings (
    sighting BYTES PRIMARY KEY,
    received BIGINT NOT NULL
);
CREATE INDEX contact_sightings_by_time ON contact_sightings (received);
