//! SVN Repo: an external that every checkout fetches.

use coalmine_core::settings::Fault;
use coalmine_core::token::{Artefact, Group, Mint, Reach, TokenChannel, TokenKind, Trip};

use crate::files::Dice;

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "svn",
    title: "SVN Repo",
    description: "SVN Repo",
    doc: "A property for a Subversion repository that nobody has a reason to check out.\n\
          Run the command in a working copy of it and commit. Whoever checks the repository out or \
          updates it afterwards also asks the token's URL for an external folder.\n\
          The folder cannot be fetched, which Subversion reports as a warning.\n\
          The incident shows the address and the version of the client.",
    group: Group::Systems,
    trial: "Check out the repository that has the external, or fetch it alone: `curl '{url}'`.",
    logtype: 17010,
    channels: &[TokenChannel::Http],
    reach: Reach::Direct,
    asks: &[],
    event: &[],
    mint,
    trip: Trip::plain,
};

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let mut dice = Dice::new(&mint.seed, "external");
    let folder = dice.pick(&[
        "lib", "common", "shared", "vendor", "deploy", "tools", "conf", "ext",
    ]);
    // A folder, so without the page's extension.
    let url = mint.url("html");
    let url = url.strip_suffix(".html").unwrap_or(&url);
    let command = format!("svn propset svn:externals \"{folder} {url}\" .\n");
    Ok(Artefact {
        renders: [(KIND.id.to_owned(), command)].into(),
        ..Artefact::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::minted;

    #[test]
    fn the_command_sets_an_external_at_the_tokens_url() {
        let made = minted(&KIND, &[]).unwrap();
        let command = &made.renders["svn"];
        let rest = command
            .strip_prefix("svn propset svn:externals \"")
            .unwrap();
        let (folder, rest) = rest.split_once(' ').unwrap();
        assert!(folder.chars().all(|c| c.is_ascii_lowercase()));
        assert!(rest.starts_with("https://tokens.example.com/"), "{rest}");
        assert!(
            rest.ends_with("\" .\n") && !rest.contains(".html"),
            "{rest}"
        );
    }
}
