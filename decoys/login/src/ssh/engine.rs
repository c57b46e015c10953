//! The SSH engine behind its seam: everything after the identification exchange.
//!
//! Only this file knows which library speaks the protocol.

use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use coalmine_core::decoy::{BoxFuture, Stream};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey, PublicKey};
use russh::server::{self, Auth, Handle, PublicKeyOffer, Response};
use russh::{Disconnect, MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// Longest identification that the engine takes, in bytes without the line end.
const MAX_ENGINE_IDENT: usize = 253;

/// How the engine is set up; one for all connections of a service.
pub struct Engine {
    config: Arc<server::Config>,
    banner: Option<String>,
}

/// What a peer tries.
pub enum Attempt {
    /// The question which methods there are.
    None,
    /// A password, also from an answer to a prompt.
    Password(String),
    /// A public key, in OpenSSH's one-line form.
    Key(String),
    /// A method that isn't offered.
    Unknown,
}

/// What becomes of it.
pub enum Outcome {
    /// The refusal.
    Fail,
    /// The refusal, then a disconnect with this text.
    Disconnect(String),
    /// The end of the connection without a word.
    Close,
}

/// Who is asked about every attempt; the answer is given when the reply may leave.
pub trait Judge: Send + 'static {
    /// Judges one attempt of `user`.
    fn attempt(&mut self, user: String, attempt: Attempt) -> BoxFuture<'_, Outcome>;
}

impl Engine {
    /// An engine that calls itself `version` and offers `algorithms`.
    pub fn new(
        version: &str,
        algorithms: Preferred,
        banner: Option<String>,
        prompts: bool,
        keys: Vec<PrivateKey>,
    ) -> Self {
        let mut methods = vec![MethodKind::PublicKey, MethodKind::Password];
        if prompts {
            methods.push(MethodKind::KeyboardInteractive);
        }
        let config = server::Config {
            server_id: SshId::Standard(Cow::Owned(version.to_owned())),
            methods: MethodSet::from(methods.as_slice()),
            auth_rejection_time: Duration::ZERO,
            auth_rejection_time_initial: Some(Duration::ZERO),
            keys,
            window_size: 64 * 1024,
            maximum_packet_size: 32 * 1024,
            channel_buffer_size: 1,
            event_buffer_size: 4,
            preferred: algorithms,
            // Counted by the judge.
            max_auth_attempts: 0,
            inactivity_timeout: Some(Duration::from_secs(120)),
            ..server::Config::default()
        };
        Self {
            config: Arc::new(config),
            banner,
        }
    }

    /// Speaks with a peer who said `ident` and after it `rest`; our own identification is said
    /// already. Ends with the conversation; dropped earlier, it ends the conversation.
    pub async fn speak(
        &self,
        stream: Box<dyn Stream>,
        ident: &[u8],
        rest: &[u8],
        judge: impl Judge,
    ) {
        // The engine takes less than OpenSSH does. What it wouldn't take is replaced: the peer
        // then sees the key exchange begin, and no real client says such a thing.
        let taken = (ident.starts_with(b"SSH-2.0-") || ident.starts_with(b"SSH-1.99-"))
            && ident.len() <= MAX_ENGINE_IDENT
            && std::str::from_utf8(ident).is_ok();
        let ident = if taken { ident } else { b"SSH-2.0-x" };
        let mut ahead = ident.to_vec();
        ahead.extend_from_slice(b"\r\n");
        ahead.extend_from_slice(rest);
        let own = match &self.config.server_id {
            SshId::Standard(s) => s.len().saturating_add(2),
            SshId::Raw(s) => s.len(),
        };
        let (alive, gone) = oneshot::channel();
        let spliced = Spliced {
            stream,
            ahead,
            mute: own,
            gone: Some(gone),
        };
        let handle = Arc::new(OnceLock::new());
        let talk = Talk {
            judge,
            banner: self.banner.clone(),
            methods: self.config.methods.clone(),
            handle: handle.clone(),
        };
        if let Ok(session) = server::run_stream(self.config.clone(), spliced, talk).await {
            let _ = handle.set(session.handle());
            let _ = session.await;
        }
        drop(alive);
    }
}

/// OpenSSH 9.2's lists and order, as far as the engine knows their members.
pub fn openssh() -> Preferred {
    Preferred {
        kex: Cow::Borrowed(&[
            kex::CURVE25519,
            kex::CURVE25519_PRE_RFC_8731,
            kex::ECDH_SHA2_NISTP256,
            kex::ECDH_SHA2_NISTP384,
            kex::ECDH_SHA2_NISTP521,
            kex::DH_GEX_SHA256,
            kex::DH_G16_SHA512,
            kex::DH_G18_SHA512,
            kex::DH_G14_SHA256,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
        ]),
        key: Cow::Borrowed(&[
            Algorithm::Rsa {
                hash: Some(HashAlg::Sha512),
            },
            Algorithm::Rsa {
                hash: Some(HashAlg::Sha256),
            },
            Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP256,
            },
            Algorithm::Ed25519,
        ]),
        cipher: Cow::Borrowed(&[
            cipher::CHACHA20_POLY1305,
            cipher::AES_128_CTR,
            cipher::AES_192_CTR,
            cipher::AES_256_CTR,
            cipher::AES_128_GCM,
            cipher::AES_256_GCM,
        ]),
        mac: Cow::Borrowed(&[
            mac::HMAC_SHA256_ETM,
            mac::HMAC_SHA512_ETM,
            mac::HMAC_SHA1_ETM,
            mac::HMAC_SHA256,
            mac::HMAC_SHA512,
            mac::HMAC_SHA1,
        ]),
        compression: Cow::Borrowed(&[compression::NONE]),
        host_key_certificates: Cow::Borrowed(&[]),
    }
}

/// Dropbear 2022.83's lists and order, as far as the engine knows their members.
pub fn dropbear() -> Preferred {
    Preferred {
        kex: Cow::Borrowed(&[
            kex::CURVE25519,
            kex::CURVE25519_PRE_RFC_8731,
            kex::ECDH_SHA2_NISTP521,
            kex::ECDH_SHA2_NISTP384,
            kex::ECDH_SHA2_NISTP256,
            kex::DH_G14_SHA256,
            kex::DH_G14_SHA1,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
        ]),
        key: Cow::Borrowed(&[
            Algorithm::Ed25519,
            Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP256,
            },
            Algorithm::Rsa {
                hash: Some(HashAlg::Sha256),
            },
        ]),
        cipher: Cow::Borrowed(&[
            cipher::CHACHA20_POLY1305,
            cipher::AES_128_CTR,
            cipher::AES_256_CTR,
        ]),
        mac: Cow::Borrowed(&[mac::HMAC_SHA1, mac::HMAC_SHA256]),
        ..openssh()
    }
}

/// The library's handler: turns its callbacks into attempts.
struct Talk<J> {
    judge: J,
    banner: Option<String>,
    methods: MethodSet,
    /// Set as soon as the library gives it, which is before the key exchange.
    handle: Arc<OnceLock<Handle>>,
}

impl<J: Judge> Talk<J> {
    async fn refuse(&mut self, user: &str, attempt: Attempt) -> Result<Auth, russh::Error> {
        let outcome = self.judge.attempt(user.to_owned(), attempt).await;
        if matches!(outcome, Outcome::Close) {
            return Err(russh::Error::Disconnect);
        }
        if let (Outcome::Disconnect(text), Some(handle)) = (outcome, self.handle.get()) {
            let _ = handle
                .disconnect(Disconnect::ProtocolError, text, String::new())
                .await;
        }
        // Without the list the library would take the tried method off its offer.
        Ok(Auth::Reject {
            proceed_with_methods: Some(self.methods.clone()),
            partial_success: false,
        })
    }

    async fn refuse_key(&mut self, user: &str, key: &PublicKey) -> Result<Auth, russh::Error> {
        let line = key.to_openssh().unwrap_or_default();
        self.refuse(user, Attempt::Key(line)).await
    }
}

impl<J: Judge> server::Handler for Talk<J> {
    type Error = russh::Error;

    async fn auth_none(&mut self, user: &str) -> Result<Auth, Self::Error> {
        self.refuse(user, Attempt::None).await
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        self.refuse(user, Attempt::Password(password.to_owned()))
            .await
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        self.refuse_key(user, offer.public_key).await
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        if !self.methods.contains(&MethodKind::KeyboardInteractive) {
            return self.refuse(user, Attempt::Unknown).await;
        }
        // Taken out of the answer before anything is awaited.
        let answer = response.map(|mut answers| answers.next().unwrap_or_default());
        match answer {
            None => Ok(Auth::Partial {
                name: Cow::Borrowed(""),
                instructions: Cow::Borrowed(""),
                prompts: Cow::Borrowed(&[(Cow::Borrowed("Password: "), false)]),
            }),
            Some(answer) => {
                let password = coalmine_core::text::printable(&answer);
                self.refuse(user, Attempt::Password(password)).await
            }
        }
    }

    async fn authentication_banner(&mut self) -> Result<Option<String>, Self::Error> {
        Ok(self.banner.clone())
    }
}

/// The peer's stream as the library wants it: what was read ahead comes again, the library's own
/// identification (said already) is swallowed, and it ends when the driver lets go.
struct Spliced {
    stream: Box<dyn Stream>,
    ahead: Vec<u8>,
    /// Bytes still to be swallowed.
    mute: usize,
    /// Resolves when the driver has let go; `None` after that.
    gone: Option<oneshot::Receiver<()>>,
}

impl AsyncRead for Spliced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let let_go = match &mut this.gone {
            None => true,
            Some(gone) => Pin::new(gone).poll(cx).is_ready(),
        };
        if let_go {
            this.gone = None;
            return Poll::Ready(Ok(()));
        }
        if this.ahead.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let n = this.ahead.len().min(buf.remaining());
        let rest = this.ahead.split_off(n);
        buf.put_slice(&this.ahead);
        this.ahead = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Spliced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.mute > 0 {
            let n = self.mute.min(bytes.len());
            self.mute = self.mute.saturating_sub(n);
            return Poll::Ready(Ok(n));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
