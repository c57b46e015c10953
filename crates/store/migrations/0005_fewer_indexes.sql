-- An event that joins an incident changes its last_event and updated_id: the fewer indexes hold those,
-- the fewer pages a flood writes.

-- Incidents of one key don't overlap, so that their first events order them as their last ones do.
-- It serves those who ask for a node, too.
DROP INDEX incidents_by_bundle;
CREATE INDEX incidents_by_bundle
    ON incidents (node_id, kind, src_host, deleted, acknowledged, first_event);
DROP INDEX incidents_by_node;

DROP INDEX incidents_by_source;
CREATE INDEX incidents_by_source ON incidents (src_host, deleted);
