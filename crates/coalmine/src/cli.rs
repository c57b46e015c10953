//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::config::{Config, schema, show};
use crate::folder::Folder;
use crate::terminal::{self, Colours};
use crate::{generate, incidents, poke, registry, remote, tokens, up};

/// Decoys that notice an intruder at the first touch.
///
/// Coalmine pretends to be machines worth breaking into and plants tokens worth stealing. Nobody
/// has a reason to touch either, so every touch is an incident: on the page, in the API and in the
/// terminal.
#[derive(Debug, Parser)]
#[command(
    name = "coalmine",
    version,
    after_help = "Examples:\n  \
        coalmine up                      start everything with good defaults\n  \
        coalmine poke                    touch every decoy once and see the incidents appear\n  \
        coalmine incidents --follow      watch incidents as they come\n  \
        coalmine tokens create http --memo 'in the finance share'\n  \
        coalmine config show             the configuration in effect, with comments"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Data {
    /// Data folder. Usually /var/lib/coalmine for root, else ~/.local/share/coalmine.
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
}

impl Data {
    fn folder(&self) -> Result<Folder> {
        Folder::new(self.data.as_deref())
    }
}

#[derive(Debug, Args)]
struct Configured {
    #[command(flatten)]
    data: Data,
    /// Configuration file (TOML). Without one, everything has a default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address of decoys and token channels where the file names none.
    #[arg(long, value_name = "ADDR")]
    listen: Option<IpAddr>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start decoys, token channels, API and page.
    ///
    /// Prints where everything is and runs until Ctrl-C or SIGTERM. Identities, keys and incidents
    /// are kept in the data folder, so a second start is the same installation. While it runs,
    /// DIR/run.json tells other programs where everything listens.
    #[command(after_help = "Examples:\n  \
        coalmine up\n  \
        coalmine up --listen 192.0.2.20            decoys on one address only\n  \
        coalmine up --config coalmine.toml --data /srv/coalmine\n  \
        coalmine up --console 192.0.2.5:443        page and API for others, too")]
    Up {
        #[command(flatten)]
        configured: Configured,
        /// Add this to every port of decoys and tokens. Usually 0, or 10000 where ports below 1024
        /// can't be had.
        #[arg(long, value_name = "N")]
        port_shift: Option<u16>,
        /// Where page and API listen. Usually 127.0.0.1:8443.
        #[arg(long, value_name = "ADDR:PORT")]
        console: Option<SocketAddr>,
    },
    /// Touch every decoy and two tokens once, harmlessly, and check that each touch is seen.
    ///
    /// The exit code is 1 if a touch stayed unseen.
    Poke {
        #[command(flatten)]
        data: Data,
    },
    /// List incidents, oldest change first.
    #[command(after_help = "Examples:\n  \
        coalmine incidents --unacknowledged\n  \
        coalmine incidents --follow\n  \
        coalmine incidents --json | jq -r .src_host | sort | uniq -c")]
    Incidents {
        #[command(flatten)]
        data: Data,
        /// Go on printing new and changed incidents as they come.
        #[arg(long, short)]
        follow: bool,
        /// One JSON object a line, with the names of the Python client's attributes.
        #[arg(long)]
        json: bool,
        /// Only those nobody has acknowledged.
        #[arg(long, short)]
        unacknowledged: bool,
    },
    /// Create, list and remove API keys.
    Key {
        #[command(flatten)]
        data: Data,
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Create tokens, list them, see who touched them, and set up their zone in the DNS.
    Tokens {
        #[command(flatten)]
        data: Data,
        #[command(subcommand)]
        command: tokens::Command,
    },
    /// Show, check and describe the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print the API's description (OpenAPI 3.1, JSON).
    Openapi,
    /// Copy all that is remembered into FILE, also while Coalmine runs.
    ///
    /// FILE is a whole store: to go back, stop Coalmine and put it in the place of
    /// DIR/coalmine.db.
    Backup {
        #[command(flatten)]
        data: Data,
        /// The new file.
        file: PathBuf,
    },
    /// Write the generated reference pages into DIR.
    #[command(hide = true)]
    Docs {
        /// Folder of the pages.
        dir: PathBuf,
    },
    /// Write one file per event kind, rendered from its samples, into DIR.
    #[command(hide = true)]
    Golden {
        /// Folder of the files.
        dir: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Create a key; its secret is shown now and in `key list`.
    Create {
        /// What it's for.
        note: String,
        /// What it may do.
        #[arg(long, default_value = "read-only", value_parser = ["admin", "analyst", "read-only"])]
        role: String,
    },
    /// List all keys.
    List,
    /// Remove a key.
    Remove {
        /// As `key list` shows it.
        key_id: String,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the configuration in effect as TOML with comments: a good start for a file.
    Show(Configured),
    /// Check a configuration file; every fault is reported at once.
    Check(Configured),
    /// Print the JSON Schema of the file, for editors.
    Schema,
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// What the operator should read.
    pub fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Up {
                configured,
                port_shift,
                console,
            } => up::up(
                &configured.data.folder()?,
                &up::Options {
                    config: configured.config,
                    listen: configured.listen,
                    port_shift,
                    console,
                },
            )?,
            Command::Poke { data } => return poke::poke(&data.folder()?, Colours::of_output()),
            Command::Incidents {
                data,
                follow,
                json,
                unacknowledged,
            } => {
                let options = incidents::Options {
                    follow,
                    json,
                    unacknowledged,
                };
                incidents::list(&data.folder()?, options, Colours::of_output())?;
            }
            Command::Key { data, command } => {
                let client = remote::client(&data.folder()?)?;
                match command {
                    KeyCommand::Create { note, role } => remote::create_key(&client, &role, &note)?,
                    KeyCommand::List => remote::list_keys(&client)?,
                    KeyCommand::Remove { key_id } => remote::remove_key(&client, &key_id)?,
                }
            }
            Command::Tokens { data, command } => {
                return tokens::run(&data.folder()?, command);
            }
            Command::Config { command } => config(&command)?,
            Command::Openapi => terminal::line(generate::openapi().trim_end()),
            Command::Backup { data, file } => {
                up::backup(&data.folder()?, &file)?;
                terminal::line(&format!("Copied to {}.", file.display()));
            }
            Command::Docs { dir } => generate::docs(&dir)?,
            Command::Golden { dir } => generate::golden(&dir)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn config(command: &ConfigCommand) -> Result<()> {
    let load = |configured: &Configured| -> Result<Config> {
        let installation = configured.data.folder()?.installation_or_sample()?;
        let ground = up::ground(configured.listen, &installation);
        Config::load(configured.config.as_deref(), &ground).map_err(|faults| up::all(&faults))
    };
    match command {
        ConfigCommand::Show(configured) => {
            terminal::line(show::toml(&load(configured)?).trim_end());
        }
        ConfigCommand::Check(configured) => {
            let config = load(configured)?;
            let services = config
                .birds
                .iter()
                .flat_map(|b| &b.services)
                .filter(|s| s.enabled)
                .count();
            let birds = config.birds.len();
            terminal::line(&format!(
                "Good: {birds} bird(s) with {services} service(s)."
            ));
        }
        ConfigCommand::Schema => {
            terminal::line(&serde_json::to_string_pretty(&schema::json(
                &registry::decoys(),
            ))?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_command_has_words() {
        let command = Cli::command();
        command.clone().debug_assert();
        for sub in command.get_subcommands() {
            assert!(sub.get_about().is_some(), "{}", sub.get_name());
        }
    }

    #[test]
    fn what_is_asked_for_is_understood() {
        let cli = Cli::try_parse_from([
            "coalmine",
            "up",
            "--data",
            "/tmp/d",
            "--port-shift",
            "20000",
            "--console",
            "127.0.0.1:9443",
        ])
        .unwrap();
        let Command::Up {
            configured,
            port_shift,
            console,
        } = cli.command
        else {
            panic!("up")
        };
        assert_eq!(configured.data.data, Some("/tmp/d".into()));
        assert_eq!(
            (port_shift, console.map(|c| c.port())),
            (Some(20_000), Some(9443))
        );
        assert!(Cli::try_parse_from(["coalmine", "up", "--port-shift", "70000"]).is_err());
        assert!(Cli::try_parse_from(["coalmine", "key", "create", "n", "--role", "god"]).is_err());
    }
}
