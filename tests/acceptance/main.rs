//! Coalmine as its users and its attackers meet it: the real program, driven by real clients.
//!
//! Each test starts a program of its own on a loopback address of its own, so they run side by
//! side. A client that isn't installed skips its test with a word; under `CI=true` it fails it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "all of it is a test: what isn't as expected ends it, what is skipped is said"
)]

mod acme;
mod cloud_aws;
mod console;
mod durability;
mod ftp;
mod git;
mod guessers;
mod hostile;
mod http;
mod httpproxy;
mod lab;
mod ldap;
mod modbus;
mod mongo;
mod mssql;
mod nest;
mod page;
mod page_tokens;
mod products;
mod rdp;
mod redis;
mod scans;
mod seen;
mod services;
mod sip;
mod smb;
mod smb_pipes;
mod snmp;
mod story;
mod tcpbanner;
mod telnet;
mod tftp;
mod tn3270;
mod token_api;
mod token_cli;
mod token_cloud;
mod token_dns;
mod token_documents;
mod token_floods;
mod token_https;
mod token_mail;
mod token_net;
mod token_thousands;
mod token_web;
mod token_zone;
mod tokens;
mod vnc;
mod winrm;
