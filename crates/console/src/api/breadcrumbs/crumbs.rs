//! What breadcrumbs look like: the files of well-known programs, pure.

use std::fmt::Write as _;

/// A crumb to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crumb {
    SshHost,
    Putty,
    Rdp,
    FileZilla,
    WinScp,
    WindowsFtp,
    WindowsSmb,
    MacHttp,
    MacHttps,
    WindowsHttp,
    WindowsHttps,
}

/// What a crumb leads to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The bird's name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// The service's port.
    pub port: u16,
    /// The service: `ssh`, `ftp`, ...
    pub service: &'static str,
    /// The share's name, of `smb` alone.
    pub share: String,
}

/// A crumb as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// File name.
    pub title: String,
    /// Its text.
    pub crumb: String,
    /// What it is and where to put it.
    pub readme: String,
}

impl Crumb {
    /// Every crumb without a secret of its own.
    pub const ALL: &[Self] = &[
        Self::SshHost,
        Self::Putty,
        Self::Rdp,
        Self::FileZilla,
        Self::WinScp,
        Self::WindowsFtp,
        Self::WindowsSmb,
        Self::MacHttp,
        Self::MacHttps,
        Self::WindowsHttp,
        Self::WindowsHttps,
    ];

    /// Wire name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SshHost => "ssh-host",
            Self::Putty => "putty-profile",
            Self::Rdp => "rdp-profile",
            Self::FileZilla => "filezilla-profile",
            Self::WinScp => "winscp-profile",
            Self::WindowsFtp => "windows-ftp-shortcut",
            Self::WindowsSmb => "windows-smb-shortcut",
            Self::MacHttp => "macos-http-shortcut",
            Self::MacHttps => "macos-https-shortcut",
            Self::WindowsHttp => "windows-http-shortcut",
            Self::WindowsHttps => "windows-https-shortcut",
        }
    }

    /// Services that it can lead to, the best first.
    pub const fn services(self) -> &'static [&'static str] {
        match self {
            Self::SshHost => &["ssh"],
            Self::Putty => &["ssh", "telnet"],
            Self::Rdp => &["rdp"],
            Self::FileZilla => &["ftp", "ssh"],
            Self::WinScp => &["ftp", "ssh"],
            Self::WindowsFtp => &["ftp"],
            Self::WindowsSmb => &["smb"],
            Self::MacHttp | Self::WindowsHttp => &["http"],
            Self::MacHttps | Self::WindowsHttps => &["https"],
        }
    }

    /// The crumb's file.
    pub fn make(self, target: &Target) -> Made {
        let name = file_name(&target.name);
        let (extension, crumb) = match self {
            Self::SshHost => ("sh", ssh_host(target)),
            Self::Putty => ("reg", putty(target)),
            Self::Rdp => ("rdp", rdp(target)),
            Self::FileZilla => ("xml", filezilla(target)),
            Self::WinScp => ("reg", winscp(target)),
            Self::WindowsFtp => ("ps1", shortcut(&format!("{name}.url"), &url(target))),
            Self::WindowsSmb => ("ps1", shortcut(&format!("{name}.lnk"), &unc(target))),
            Self::MacHttp | Self::MacHttps => ("webloc", webloc(&url(target))),
            Self::WindowsHttp | Self::WindowsHttps => (
                "url",
                format!("[InternetShortcut]\r\nURL={}\r\n", url(target)),
            ),
        };
        Made {
            title: format!("{name}.{extension}"),
            crumb,
            readme: self.readme().to_owned(),
        }
    }

    const fn readme(self) -> &'static str {
        match self {
            Self::SshHost => {
                "# SSH Host Entry\nThis crumb is a bash script that adds an entry for the bird to the SSH configuration of the user who runs it.\n\nRun it, and delete it. Log in to the bird once from there, so that known_hosts has it too.\n"
            }
            Self::Putty => {
                "# PuTTY profile\nThis crumb adds a saved session for the bird to PuTTY.\n\nImport it into the registry of a user who might have such a session: double-click it, or run\nreg import with its name.\n"
            }
            Self::Rdp => {
                "# Remote Desktop profile\nThis crumb is a connection to the bird's Remote Desktop service.\n\nPut it where administrators keep such files, e.g. on a desktop or in a shared folder.\n"
            }
            Self::FileZilla => {
                "# FileZilla profile\nThis crumb is a site for FileZilla's Site Manager.\n\nImport it with File > Import, or place it as an exported list of sites.\n"
            }
            Self::WinScp => {
                "# WinSCP profile\nThis crumb adds a stored session for the bird to WinSCP.\n\nImport it into the registry of a user who might have such a session: double-click it, or run\nreg import with its name.\n"
            }
            Self::WindowsFtp => {
                "# FTP Shortcut\nThis crumb creates a shortcut to the bird's FTP service.\n\nDrop the script where the shortcut should be, run it with PowerShell, and delete the script.\n"
            }
            Self::WindowsSmb => {
                "# SMB Shortcut\nThis crumb creates a Windows file shortcut to the bird's SMB service.\n\nDrop the script where the shortcut should be, run it with PowerShell, and delete the script.\n"
            }
            Self::MacHttp | Self::MacHttps => {
                "# Web Shortcut for macOS\nThis crumb is a link to the bird's web service.\n\nPut it on a desktop, into a folder or onto a share that Macs use.\n"
            }
            Self::WindowsHttp | Self::WindowsHttps => {
                "# Web Shortcut for Windows\nThis crumb is a link to the bird's web service.\n\nPut it on a desktop, into a folder or onto a share.\n"
            }
        }
    }
}

/// A name that is one everywhere: in paths, registries and scripts.
pub fn file_name(name: &str) -> String {
    let safe: String = name
        .chars()
        .take(64)
        .map(|c| match c.is_ascii_alphanumeric() || "-_.".contains(c) {
            true => c,
            false => '_',
        })
        .collect();
    match safe.trim_matches(['.', '_']) {
        "" => "server".to_owned(),
        some => some.to_owned(),
    }
}

/// A script that adds a host to `~/.ssh/config` (ssh_config(5)).
fn ssh_host(target: &Target) -> String {
    format!(
        "#!/bin/bash\nset -e\nmkdir -p -m 700 ~/.ssh\ncat >> ~/.ssh/config <<'END'\n\nHost {}\n    \
         HostName {}\n    Port {}\nEND\nchmod 600 ~/.ssh/config\n",
        file_name(&target.name),
        target.address,
        target.port
    )
}

/// PuTTY's saved sessions: `Protocol` is `ssh` or `telnet`.
fn putty(target: &Target) -> String {
    registry(
        r"Software\SimonTatham\PuTTY\Sessions",
        target,
        &[("Protocol", format!("\"{}\"", target.service))],
    )
}

/// WinSCP's stored sessions: `FSProtocol` 5 is FTP, 2 is SFTP alone.
fn winscp(target: &Target) -> String {
    let protocol = if target.service == "ftp" { 5 } else { 2 };
    registry(
        r"Software\Martin Prikryl\WinSCP 2\Sessions",
        target,
        &[("FSProtocol", format!("dword:{protocol:08x}"))],
    )
}

fn registry(key: &str, target: &Target, more: &[(&str, String)]) -> String {
    let mut text = format!(
        "Windows Registry Editor Version 5.00\r\n\r\n[HKEY_CURRENT_USER\\{key}\\{}]\r\n\
         \"HostName\"=\"{}\"\r\n\"PortNumber\"=dword:{:08x}\r\n",
        file_name(&target.name),
        target.address,
        target.port
    );
    for (name, value) in more {
        let _ = write!(text, "\"{name}\"={value}\r\n");
    }
    text
}

fn rdp(target: &Target) -> String {
    format!(
        "screen mode id:i:2\r\nuse multimon:i:0\r\nsession bpp:i:32\r\nfull address:s:{}\r\n\
         prompt for credentials:i:1\r\nauthentication level:i:2\r\nredirectclipboard:i:1\r\n\
         redirectprinters:i:0\r\nautoreconnection enabled:i:1\r\n",
        host_port(target, 3389)
    )
}

/// Protocol 0 is FTP, 1 is SFTP; log-on type 2 asks for the password.
fn filezilla(target: &Target) -> String {
    let protocol = if target.service == "ftp" { 0 } else { 1 };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<FileZilla3>\n\t<Servers>\n\t\t<Server>\n\
         \t\t\t<Host>{}</Host>\n\t\t\t<Port>{}</Port>\n\t\t\t<Protocol>{protocol}</Protocol>\n\
         \t\t\t<Type>0</Type>\n\t\t\t<Logontype>2</Logontype>\n\t\t\t<Name>{}</Name>\n\
         \t\t</Server>\n\t</Servers>\n</FileZilla3>\n",
        target.address,
        target.port,
        file_name(&target.name)
    )
}

/// A script for the Windows Script Host's shortcut maker.
fn shortcut(file: &str, path: &str) -> String {
    format!(
        "$LNKFILE = \"$PWD\\{file}\"\r\n$WshShell = New-Object -comObject WScript.Shell\r\n\
         $Shortcut = $WshShell.CreateShortcut($LNKFILE)\r\n$Shortcut.TargetPath = '{}'\r\n\
         $Shortcut.Save()\r\n",
        path.replace('\'', "''")
    )
}

fn webloc(url: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST \
         1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n\
         <dict>\n\t<key>URL</key>\n\t<string>{url}</string>\n</dict>\n</plist>\n"
    )
}

fn url(target: &Target) -> String {
    let usual = match target.service {
        "ftp" => 21,
        "https" => 443,
        _ => 80,
    };
    format!("{}://{}/", target.service, host_port(target, usual))
}

fn unc(target: &Target) -> String {
    let share: String = target
        .share
        .chars()
        .filter(|c| !c.is_control() && !"\\/\"'".contains(*c))
        .collect();
    // IPv6 in UNC paths has a form of its own.
    let host = match target.address.contains(':') {
        true => format!("{}.ipv6-literal.net", target.address.replace(':', "-")),
        false => target.address.clone(),
    };
    match share.is_empty() {
        true => format!(r"\\{host}\"),
        false => format!(r"\\{host}\{share}"),
    }
}

fn host_port(target: &Target, usual: u16) -> String {
    let host = match target.address.contains(':') {
        true => format!("[{}]", target.address),
        false => target.address.clone(),
    };
    match target.port {
        port if port == usual => host,
        port => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(service: &'static str, port: u16) -> Target {
        Target {
            name: "file srv\\1".to_owned(),
            address: "192.168.0.1".to_owned(),
            port,
            service,
            share: "Doc's".to_owned(),
        }
    }

    #[test]
    fn every_crumb_leads_to_its_service() {
        for (crumb, service, port, title, holds) in [
            (
                Crumb::Putty,
                "ssh",
                2222,
                "file_srv_1.reg",
                "Sessions\\file_srv_1]\r\n\"HostName\"=\"192.168.0.1\"\r\n\"PortNumber\"=dword:000008ae\r\n\"Protocol\"=\"ssh\"\r\n",
            ),
            (
                Crumb::SshHost,
                "ssh",
                2222,
                "file_srv_1.sh",
                "\nHost file_srv_1\n    HostName 192.168.0.1\n    Port 2222\nEND\n",
            ),
            (
                Crumb::Rdp,
                "rdp",
                3389,
                "file_srv_1.rdp",
                "full address:s:192.168.0.1\r\n",
            ),
            (
                Crumb::Rdp,
                "rdp",
                13389,
                "file_srv_1.rdp",
                "full address:s:192.168.0.1:13389\r\n",
            ),
            (
                Crumb::FileZilla,
                "ftp",
                21,
                "file_srv_1.xml",
                "<Host>192.168.0.1</Host>\n\t\t\t<Port>21</Port>\n\t\t\t<Protocol>0<",
            ),
            (
                Crumb::FileZilla,
                "ssh",
                22,
                "file_srv_1.xml",
                "<Protocol>1<",
            ),
            (
                Crumb::WinScp,
                "ftp",
                21,
                "file_srv_1.reg",
                "\"FSProtocol\"=dword:00000005\r\n",
            ),
            (
                Crumb::WindowsFtp,
                "ftp",
                2121,
                "file_srv_1.ps1",
                "TargetPath = 'ftp://192.168.0.1:2121/'",
            ),
            (
                Crumb::WindowsSmb,
                "smb",
                445,
                "file_srv_1.ps1",
                "$PWD\\file_srv_1.lnk\"\r\n",
            ),
            (
                Crumb::WindowsSmb,
                "smb",
                445,
                "file_srv_1.ps1",
                "TargetPath = '\\\\192.168.0.1\\Docs'",
            ),
            (
                Crumb::MacHttps,
                "https",
                443,
                "file_srv_1.webloc",
                "<string>https://192.168.0.1/</string>",
            ),
            (
                Crumb::WindowsHttp,
                "http",
                8080,
                "file_srv_1.url",
                "URL=http://192.168.0.1:8080/\r\n",
            ),
        ] {
            let made = crumb.make(&target(service, port));
            assert_eq!(made.title, title);
            assert!(made.crumb.contains(holds), "{}", made.crumb);
            assert!(made.readme.starts_with("# "));
        }
    }

    #[test]
    fn addresses_of_version_6_stand_as_each_program_wants_them() {
        let mut target = target("http", 80);
        target.address = "2001:db8::1".to_owned();
        assert_eq!(url(&target), "http://[2001:db8::1]/");
        assert_eq!(unc(&target), r"\\2001-db8--1.ipv6-literal.net\Docs");
        target.share = String::new();
        assert_eq!(unc(&target), r"\\2001-db8--1.ipv6-literal.net\");
    }

    #[test]
    fn names_are_safe_everywhere() {
        assert_eq!(file_name("..$(x)\"]\r\n"), "x");
        assert_eq!(file_name("\u{e9}"), "server");
        assert!(file_name(&"a".repeat(500)).len() <= 64);
    }
}
