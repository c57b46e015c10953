//! Attempts at the services of Windows: logins by NTLM that no password ever made.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::attempt::{connect, converse, secure, until};

/// Flags: Unicode, the target's name, NTLM with extended session security.
const FLAGS: u32 = 0x0008_8205;
/// Longest message read.
const MAX_MESSAGE: usize = 64 * 1024;

/// NEGOTIATE (MS-NLMP section 2.2.1.1).
fn negotiate() -> Vec<u8> {
    let mut message = b"NTLMSSP\0\x01\0\0\0".to_vec();
    message.extend(FLAGS.to_le_bytes());
    message.resize(32, 0);
    message
}

/// AUTHENTICATE of user number `n`, with a response of version 2's form (section 2.2.1.3).
fn authenticate(n: usize) -> Result<Vec<u8>> {
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let mut response = vec![0x5a; 16];
    response[..8].copy_from_slice(&(n as u64).to_be_bytes());
    response.extend(b"\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0benching\0\0\0\0\0\0\0\0");
    let fields = [
        vec![0; 24],
        response,
        wide("BENCH"),
        wide(&format!("user{n}")),
        wide("WS"),
        Vec::new(),
    ];
    let mut message = b"NTLMSSP\0\x03\0\0\0".to_vec();
    let mut at = 64;
    for field in &fields {
        let length = u16::try_from(field.len())?.to_le_bytes();
        message.extend(length);
        message.extend(length);
        message.extend(u32::try_from(at)?.to_le_bytes());
        at += field.len();
    }
    message.extend(FLAGS.to_le_bytes());
    message.extend(fields.concat());
    Ok(message)
}

/// A login over SMB 2.
pub async fn smb(target: SocketAddr, n: usize) -> Result<()> {
    let mut stream = connect(target).await?;
    let mut body = b"\x24\0\x02\0\x01\0\0\0\0\0\0\0bench bench benc".to_vec();
    body.extend(b"\0\0\0\0\0\0\0\0\x02\x02\x10\x02");
    stream.write_all(&smb2(0, 0, [0; 8], &body)?).await?;
    let _ = frame(&mut stream).await?;
    let mut session = [0; 8];
    for (id, token) in [(1, negotiate()), (2, authenticate(n)?)] {
        let mut body = b"\x19\0\0\x01\0\0\0\0\0\0\0\0\x58\0".to_vec();
        body.extend(u16::try_from(token.len())?.to_le_bytes());
        body.extend([0; 8]);
        body.extend(token);
        stream.write_all(&smb2(1, id, session, &body)?).await?;
        let answer = frame(&mut stream).await?;
        session = answer.get(40..48).context("no header")?.try_into()?;
    }
    Ok(())
}

/// A request of SMB 2 in its frame (MS-SMB2 sections 2.1 and 2.2.1).
fn smb2(command: u16, id: u64, session: [u8; 8], body: &[u8]) -> Result<Vec<u8>> {
    let mut request = u32::try_from(64 + body.len())?.to_be_bytes().to_vec();
    request.extend(b"\xfeSMB\x40\0\x01\0\0\0\0\0");
    request.extend(command.to_le_bytes());
    request.extend(b"\x20\0\0\0\0\0\0\0\0\0");
    request.extend(id.to_le_bytes());
    request.extend([0; 8]);
    request.extend(session);
    request.extend([0; 16]);
    request.extend(body);
    Ok(request)
}

async fn frame(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let length = usize::try_from(stream.read_u32().await?)?;
    exactly(stream, length).await
}

async fn exactly(stream: &mut (impl AsyncRead + Unpin), length: usize) -> Result<Vec<u8>> {
    if length > MAX_MESSAGE {
        bail!("a message of {length} bytes");
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// A login over CredSSP (MS-CSSP).
pub async fn rdp(target: SocketAddr, n: usize) -> Result<()> {
    let mut stream = connect(target).await?;
    // A connection request that takes TLS and CredSSP (MS-RDPBCGR section 2.2.1.1).
    stream
        .write_all(b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0")
        .await?;
    let _ = exactly(&mut stream, 19).await?;
    let mut stream = secure(target, stream).await?;
    for token in [negotiate(), authenticate(n)?] {
        let token = der(0x30, &der(0xa0, &der(0x04, &token)));
        let request = [
            b"\xa0\x03\x02\x01\x06".to_vec(),
            der(0xa1, &der(0x30, &token)),
        ]
        .concat();
        stream.write_all(&der(0x30, &request)).await?;
        stream.flush().await?;
        until(&mut stream, &[b"\x30"]).await?;
    }
    Ok(())
}

/// An element of DER, shorter than 64 KiB.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    let mut element = match length {
        0..=127 => vec![tag, low],
        128..=255 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    element.extend(content);
    element
}

/// A login by NTLM over HTTP (RFC 4559).
pub async fn winrm(target: SocketAddr, n: usize) -> Result<()> {
    let mut stream = connect(target).await?;
    for token in [negotiate(), authenticate(n)?] {
        let request = format!(
            "POST /wsman HTTP/1.1\r\nHost: bench\r\nAuthorization: Negotiate {}\r\n\
             Content-Length: 0\r\n\r\n",
            STANDARD.encode(&token)
        );
        stream.write_all(request.as_bytes()).await?;
        until(&mut stream, &[b"\r\n\r\n"]).await?;
    }
    Ok(())
}

/// A login by password over TDS 7.4 in the clear (MS-TDS section 2.2.6.4).
pub async fn mssql(target: SocketAddr, n: usize) -> Result<()> {
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    // Host, user, password, program, server, unused, library, language, database.
    let password: Vec<u8> = wide(&format!("pw{n}"))
        .into_iter()
        .map(|byte| byte.rotate_left(4) ^ 0xa5)
        .collect();
    let texts = [wide("WS"), wide("sa"), password, wide("bench"), wide("db")];
    let mut login = vec![0; 4];
    login.extend(
        b"\x04\0\0\x74\0\x10\0\0\0\0\0\x07\x01\0\0\0\0\0\0\0\xe0\x03\0\0\0\0\0\0\x09\x04\0\0",
    );
    let mut at = 94_u16;
    for place in 0..9 {
        let length = u16::try_from(texts.get(place).map_or(0, Vec::len))?;
        login.extend(at.to_le_bytes());
        login.extend((length / 2).to_le_bytes());
        at += length;
    }
    login.extend(b"bench1");
    for _ in 0..3 {
        login.extend(at.to_le_bytes());
        login.extend([0; 2]);
    }
    login.extend([0; 4]);
    login.extend(texts.concat());
    let length = u32::try_from(login.len())?;
    login[..4].copy_from_slice(&length.to_le_bytes());
    let mut packet = b"\x10\x01".to_vec();
    packet.extend(u16::try_from(login.len() + 8)?.to_be_bytes());
    packet.extend(b"\0\0\x01\0");
    packet.extend(login);
    const PRELOGIN: &[u8] = b"\x12\x01\0\x1a\0\0\x01\0\0\0\x0b\0\x06\x01\0\x11\0\x01\xff\
        \x09\0\0\0\0\0\x02";
    converse(
        target,
        &[(b"", PRELOGIN), (b"\x04\x01", &packet), (b"\xaa", b"")],
    )
    .await
}

/// A simple bind (RFC 4511 section 4.2).
pub async fn ldap(target: SocketAddr, n: usize) -> Result<()> {
    let name = format!("cn=user{n},dc=bench");
    let bind = [
        b"\x02\x01\x03".to_vec(),
        der(0x04, name.as_bytes()),
        der(0x80, format!("pw{n}").as_bytes()),
    ];
    let request = [b"\x02\x01\x01".to_vec(), der(0x60, &bind.concat())].concat();
    converse(target, &[(b"", &der(0x30, &request)), (b"\x61", b"")]).await
}
