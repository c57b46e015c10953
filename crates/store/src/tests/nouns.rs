//! Birds, flocks, tokens, keys, users, settings, audit.

use std::collections::BTreeMap;

use coalmine_core::Seed;
use coalmine_core::TokenId;
use coalmine_core::token::Places;

use super::at;
use crate::tokens::NewToken;

super::engines![
    birds_report_die_and_return,
    flocks_are_made_named_and_deleted_when_empty,
    tokens_are_found_changed_and_counted,
    disabled_and_deleted_tokens_are_no_longer_active,
    files_and_aliases_live_and_die_with_their_token,
    factories_come_and_go,
    keys_are_known_by_their_hash_alone,
    users_log_in_and_out,
    settings_have_defaults_and_change_in_one_step,
    the_trail_is_paged_filtered_and_purged,
];

/// Token `number` of kind `http`.
pub(super) fn token(number: u8, memo: &str) -> NewToken {
    NewToken {
        id: TokenId::from_seed(&Seed::new([number; 32])),
        kind: "http".to_owned(),
        memo: memo.to_owned(),
        flock_id: "flock:default".to_owned(),
        created: at(number.into()),
        params: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        fields: serde_json::Map::new(),
        factory_auth: None,
        places: Places::default(),
        files: BTreeMap::new(),
        aliases: Vec::new(),
    }
}

mod cases {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::{Place, at, bird, report};
    use super::token;
    use coalmine_core::token::{Alias, TokenChannel, Upload};

    use crate::audit::{AuditEntry, AuditFilter};
    use crate::devices::DeviceFlag;
    use crate::keys::{NewKey, Role};
    use crate::settings::ConsoleSettings;
    use crate::tokens::{Factory, TokenFilter};
    use crate::users::User;
    use crate::{Refusal, Store, StoreError};

    fn refused<T>(why: Refusal) -> Result<T, StoreError> {
        Err(StoreError::Refused(why))
    }

    pub(super) async fn birds_report_die_and_return(_: Arc<Place>, store: Store) {
        let devices = store.devices();
        devices.report(report(1, "nas"), at(0)).await.unwrap();
        devices.set_note(bird(1), "mine", at(1)).await.unwrap();
        let flag = DeviceFlag::NeedReboot;
        devices.set_flag(bird(1), flag, true, at(1)).await.unwrap();
        devices.report(report(1, "nas"), at(30)).await.unwrap();
        let device = devices.get(bird(1)).await.unwrap().unwrap();
        assert!(device.live && device.need_reboot);
        assert_eq!((device.first_seen, device.last_seen), (at(0), at(30)));
        assert_eq!((device.updated, &*device.note), (at(1), "mine"));
        let mut restarted = report(1, "renamed");
        restarted.started = at(40);
        devices.report(restarted, at(60)).await.unwrap();
        assert!(devices.mark_dead(bird(1), at(400)).await.unwrap());
        assert!(!devices.mark_dead(bird(1), at(401)).await.unwrap());
        assert!(devices.mark_alive(bird(1), at(500)).await.unwrap());
        assert!(!devices.mark_alive(bird(1), at(501)).await.unwrap());
        let device = devices.all(None).await.unwrap().remove(0);
        assert_eq!((&*device.name, device.updated), ("renamed", at(500)));
        assert_eq!((device.reconnect_count, device.need_reboot), (1, false));
        let nowhere = ["flock:x".to_owned()];
        assert_eq!(devices.all(Some(&nowhere)).await.unwrap(), []);
        let missing = devices.set_note(bird(9), "", at(0)).await;
        assert_eq!(missing, refused(Refusal::Missing));
        devices.delete(bird(1)).await.unwrap();
        assert_eq!(devices.get(bird(1)).await.unwrap(), None);
    }

    pub(super) async fn flocks_are_made_named_and_deleted_when_empty(_: Arc<Place>, store: Store) {
        let flocks = store.flocks();
        flocks.create("flock:a", "Annexe", at(1)).await.unwrap();
        let taken = flocks.create("flock:a", "Other", at(1)).await;
        assert_eq!(taken, refused(Refusal::Taken));
        flocks.rename("flock:a", "Attic").await.unwrap();
        flocks.set_note("flock:a", Some("dusty")).await.unwrap();
        let settings = serde_json::Map::from_iter([("x".to_owned(), true.into())]);
        flocks.set_settings("flock:a", &settings).await.unwrap();
        let flock = flocks.get("flock:a").await.unwrap().unwrap();
        assert_eq!(
            (&*flock.name, flock.note.as_deref()),
            ("Attic", Some("dusty"))
        );
        assert_eq!(flock.settings, settings);
        assert_eq!(flocks.find("DUST").await.unwrap(), [flock]);
        let ids: Vec<_> = flocks
            .list()
            .await
            .unwrap()
            .into_iter()
            .map(|f| f.id)
            .collect();
        assert_eq!(ids, ["flock:default", "flock:a"]);
        let emails = vec!["a@example.com".to_owned()];
        flocks
            .set_users("flock:a", true, emails.clone())
            .await
            .unwrap();
        assert_eq!(flocks.users("flock:a", true).await.unwrap(), emails);
        assert_eq!(flocks.users("flock:a", false).await.unwrap(), [""; 0]);
        let of = flocks.of_user("a@example.com").await.unwrap();
        assert_eq!(of, (vec!["flock:a".to_owned()], vec![]));
        assert!(flocks.exist(&["flock:a".to_owned()]).await.unwrap());
        assert!(!flocks.exist(&["flock:b".to_owned()]).await.unwrap());

        store
            .devices()
            .report(report(1, "nas"), at(0))
            .await
            .unwrap();
        store
            .devices()
            .set_flock(bird(1), "flock:a", at(0))
            .await
            .unwrap();
        store.tokens().create(token(1, "")).await.unwrap();
        let counts = flocks.counts().await.unwrap();
        assert_eq!(counts["flock:a"].live_devices, 1);
        assert_eq!(counts["flock:default"].enabled_tokens, 1);
        assert_eq!(flocks.delete("flock:a").await, refused(Refusal::NotEmpty));
        let default = flocks.delete("flock:default").await;
        assert_eq!(default, refused(Refusal::DefaultFlock));
        store.devices().delete(bird(1)).await.unwrap();
        flocks.delete("flock:a").await.unwrap();
        assert_eq!(flocks.delete("flock:a").await, refused(Refusal::Missing));
    }

    pub(super) async fn tokens_are_found_changed_and_counted(_: Arc<Place>, store: Store) {
        let tokens = store.tokens();
        for (number, memo) in [(1, "Finance share"), (2, "HR share"), (3, "misfinance")] {
            tokens.create(token(number, memo)).await.unwrap();
        }
        let taken = tokens.create(token(1, "")).await;
        assert_eq!(taken, refused(Refusal::Taken));
        let mut lost = token(4, "");
        lost.flock_id = "flock:none".to_owned();
        assert_eq!(tokens.create(lost).await, refused(Refusal::Missing));
        let memos = |filter: TokenFilter| {
            let tokens = store.tokens();
            async move {
                let page = tokens.page(filter, None, 10).await.unwrap();
                let memos: Vec<_> = page.tokens.into_iter().map(|t| t.memo).collect();
                assert_eq!(page.total, memos.len() as u64);
                memos
            }
        };
        let all = TokenFilter::default;
        assert_eq!(
            memos(all()).await,
            ["misfinance", "HR share", "Finance share"]
        );
        let search = |text: &str| TokenFilter {
            search: Some(text.to_owned()),
            ..all()
        };
        assert_eq!(memos(search("FIN")).await, ["Finance share"]);
        assert_eq!(memos(search("share h")).await, ["HR share"]);
        let id = token(1, "").id;
        assert_eq!(memos(search(&id.as_str()[..8])).await, ["Finance share"]);
        tokens.set_memo(&id, "Moved").await.unwrap();
        tokens.set_enabled(&id, false).await.unwrap();
        let off = TokenFilter {
            enabled: Some(false),
            ..all()
        };
        assert_eq!(memos(off).await, ["Moved"]);
        let kind = TokenFilter {
            kind: Some("dns".to_owned()),
            ..all()
        };
        assert_eq!(memos(kind).await, [""; 0]);
        let page = tokens.page(all(), None, 1).await.unwrap();
        assert_eq!((&*page.tokens[0].memo, page.total), ("Moved", 3));
        let next = page.tokens[0].updated_id - 1;
        let page = tokens.page(all(), Some(next), 1).await.unwrap();
        assert_eq!(page.tokens[0].memo, "misfinance");
        let fields = serde_json::Map::from_iter([("url".to_owned(), "x".into())]);
        tokens
            .set_fields(&id, &Default::default(), &fields)
            .await
            .unwrap();
        assert_eq!(tokens.get(&id).await.unwrap().unwrap().fields, fields);
    }

    pub(super) async fn files_and_aliases_live_and_die_with_their_token(
        _: Arc<Place>,
        store: Store,
    ) {
        let tokens = store.tokens();
        let file = Upload {
            name: "plan.docx".to_owned(),
            mime: "application/x".to_owned(),
            bytes: vec![0, 255, 7],
        };
        let alias = |key: &str| Alias {
            channel: TokenChannel::Http,
            key: key.to_owned(),
        };
        let mut new = token(1, "");
        new.files = BTreeMap::from([("doc".to_owned(), file.clone())]);
        new.aliases = vec![alias("AKIA1"), alias("AKIA2")];
        new.places.smtp = Some("mail.example".to_owned());
        let (id, places) = (new.id.clone(), new.places.clone());
        tokens.create(new).await.unwrap();
        assert_eq!(tokens.get(&id).await.unwrap().unwrap().places, Some(places));
        assert_eq!(tokens.upload(&id, "doc").await.unwrap(), Some(file.clone()));
        assert_eq!(tokens.upload(&id, "pdf").await.unwrap(), None);
        let all = BTreeMap::from([("doc".to_owned(), file)]);
        assert_eq!(tokens.uploads(&id).await.unwrap(), all);
        for _ in 0..2 {
            // The second time from the cache.
            let found = tokens.by_alias(TokenChannel::Http, "AKIA2").await.unwrap();
            assert_eq!(found.unwrap().id, id);
        }
        let other = tokens.by_alias(TokenChannel::Kubernetes, "AKIA2").await;
        assert_eq!(other.unwrap(), None);

        let mut second = token(2, "");
        second.aliases = vec![alias("AKIA1")];
        assert_eq!(tokens.create(second.clone()).await, refused(Refusal::Taken));
        assert_eq!(
            tokens.get(&second.id).await.unwrap(),
            None,
            "nothing is left of it"
        );
        tokens.set_enabled(&id, false).await.unwrap();
        let off = tokens.by_alias(TokenChannel::Http, "AKIA2").await.unwrap();
        assert_eq!(off, None);
        tokens.delete(&id).await.unwrap();
        assert_eq!(tokens.uploads(&id).await.unwrap(), BTreeMap::new());
        let gone = tokens.by_alias(TokenChannel::Http, "AKIA2").await.unwrap();
        assert_eq!(gone, None);
        tokens.create(second).await.unwrap();
    }

    pub(super) async fn disabled_and_deleted_tokens_are_no_longer_active(
        _: Arc<Place>,
        store: Store,
    ) {
        let tokens = store.tokens();
        let id = token(1, "").id;
        assert_eq!(tokens.active(&id).await.unwrap(), None);
        tokens.create(token(1, "memo")).await.unwrap();
        for _ in 0..2 {
            assert_eq!(tokens.active(&id).await.unwrap().unwrap().memo, "memo");
        }
        tokens.set_enabled(&id, false).await.unwrap();
        for _ in 0..2 {
            assert_eq!(tokens.active(&id).await.unwrap(), None);
        }
        tokens.set_enabled(&id, true).await.unwrap();
        tokens.set_memo(&id, "new").await.unwrap();
        assert_eq!(tokens.active(&id).await.unwrap().unwrap().memo, "new");
        tokens.delete(&id).await.unwrap();
        assert_eq!(tokens.active(&id).await.unwrap(), None);
        assert_eq!(tokens.delete(&id).await, refused(Refusal::Missing));
    }

    pub(super) async fn factories_come_and_go(_: Arc<Place>, store: Store) {
        let factory = Factory {
            auth: "1f0c".to_owned(),
            flock_id: "flock:default".to_owned(),
            memo: "laptops".to_owned(),
            created: at(0),
        };
        let tokens = store.tokens();
        tokens.create_factory(factory.clone()).await.unwrap();
        assert_eq!(tokens.factory("1f0c").await.unwrap(), Some(factory.clone()));
        assert_eq!(tokens.factories(None).await.unwrap(), [factory]);
        assert_eq!(tokens.factories(Some("flock:x")).await.unwrap(), []);
        tokens.delete_factory("1f0c").await.unwrap();
        assert_eq!(tokens.factory("1f0c").await.unwrap(), None);
    }

    pub(super) async fn keys_are_known_by_their_hash_alone(place: Arc<Place>, store: Store) {
        let keys = store.keys();
        let key = |id: &str, flock: Option<&str>| NewKey {
            key_id: id.to_owned(),
            role: Role::Analyst,
            flock_id: flock.map(str::to_owned),
            note: "siem".to_owned(),
            created: at(0),
            created_by: "setup".to_owned(),
        };
        keys.create(key("00000001", None), "the-secret-itself")
            .await
            .unwrap();
        keys.create(key("00000002", Some("flock:default")), "other")
            .await
            .unwrap();
        let taken = keys.create(key("00000001", None), "third").await;
        assert_eq!(taken, refused(Refusal::Taken));
        let known = keys.authenticate("the-secret-itself", at(0)).await.unwrap();
        assert_eq!(known.unwrap().role, Role::Analyst);
        assert_eq!(keys.authenticate("wrong", at(0)).await.unwrap(), None);
        for (now, used) in [(30, 0), (59, 0), (60, 60)] {
            keys.authenticate("the-secret-itself", at(now))
                .await
                .unwrap()
                .unwrap();
            let listed = keys.list(Some(None)).await.unwrap();
            assert_eq!(listed.len(), 1);
            assert_eq!(listed[0].last_used, Some(at(used)));
        }
        assert_eq!(keys.list(None).await.unwrap().len(), 2);
        assert_eq!(
            keys.list(Some(Some("flock:default"))).await.unwrap().len(),
            1
        );
        keys.remove("00000001").await.unwrap();
        assert_eq!(
            keys.authenticate("the-secret-itself", at(99))
                .await
                .unwrap(),
            None
        );
        keys.remove_secret("other").await.unwrap();
        assert_eq!(keys.remove_secret("other").await, refused(Refusal::Missing));
        store.close().await;
        let file = std::fs::read(place.0.path().join("coalmine.db")).unwrap();
        let secret = b"the-secret-itself";
        assert!(!file.windows(secret.len()).any(|window| window == secret));
    }

    pub(super) async fn users_log_in_and_out(_: Arc<Place>, store: Store) {
        let users = store.users();
        let user = User {
            email: "Admin@example.com".to_owned(),
            name: "Admin".to_owned(),
            password_hash: "$argon2id$".to_owned(),
            admin: true,
            disabled: false,
            created: at(0),
            last_login: None,
        };
        users.create(user.clone()).await.unwrap();
        assert_eq!(users.create(user).await, refused(Refusal::Taken));
        let email = "admin@EXAMPLE.com";
        let begin = |secret: &'static str| {
            let users = store.users();
            async move {
                users
                    .begin_session(email, secret, "csrf", at(1), at(100))
                    .await
            }
        };
        begin("s").await.unwrap();
        let session = users.session("s", at(99)).await.unwrap().unwrap();
        assert_eq!(
            (&*session.csrf, &*session.user.email),
            ("csrf", "admin@example.com")
        );
        assert_eq!(session.user.last_login, Some(at(1)));
        assert_eq!(users.session("s", at(100)).await.unwrap(), None, "over");
        assert_eq!(users.session("t", at(1)).await.unwrap(), None);
        users.end_session("s").await.unwrap();
        assert_eq!(users.session("s", at(1)).await.unwrap(), None);
        begin("u").await.unwrap();
        users.set_password(email, "new").await.unwrap();
        assert_eq!(users.session("u", at(1)).await.unwrap(), None);
        begin("v").await.unwrap();
        users.set_disabled(email, true).await.unwrap();
        assert_eq!(users.session("v", at(1)).await.unwrap(), None);
        begin("w").await.unwrap();
        assert_eq!(users.session("w", at(1)).await.unwrap(), None, "disabled");
        assert_eq!(users.purge_sessions(at(100)).await.unwrap(), 1);
        assert_eq!(
            users.get(email).await.unwrap().unwrap().password_hash,
            "new"
        );
        users.delete(email).await.unwrap();
        assert_eq!(users.list().await.unwrap(), []);
    }

    pub(super) async fn settings_have_defaults_and_change_in_one_step(
        place: Arc<Place>,
        store: Store,
    ) {
        let settings = store.settings();
        let first = settings.console().await.unwrap();
        assert_eq!(*first, ConsoleSettings::default());
        assert_eq!((first.bundle_window, first.disconnect_after), (60, 300));
        let change = settings.change(|all| {
            all.whitelist.push("192.0.2.1".to_owned());
            all.whitelist.len()
        });
        assert_eq!(change.await.unwrap(), 1);
        assert_eq!(settings.console().await.unwrap().whitelist, ["192.0.2.1"]);
        settings.put("secret", &[1, 2, 3]).await.unwrap();
        store.close().await;
        let store = place.open();
        let settings = store.settings();
        assert_eq!(settings.console().await.unwrap().whitelist, ["192.0.2.1"]);
        let secret: Option<Vec<u8>> = settings.get("secret").await.unwrap();
        assert_eq!(secret, Some(vec![1, 2, 3]));
        assert_eq!(settings.get::<String>("none").await.unwrap(), None);
        store.close().await;
    }

    pub(super) async fn the_trail_is_paged_filtered_and_purged(_: Arc<Place>, store: Store) {
        let audit = store.audit();
        for number in 0..4 {
            let entry = AuditEntry {
                at: at(number),
                action: if number == 0 { "user_login" } else { "key_add" }.to_owned(),
                message: format!("Number {number}"),
                user: "admin".to_owned(),
                flock_id: (number == 3).then(|| "flock:default".to_owned()),
                ..AuditEntry::default()
            };
            assert_eq!(audit.append(entry).await.unwrap(), number + 1);
        }
        let ids = |filter: AuditFilter, start, limit| {
            let audit = store.audit();
            async move {
                let (entries, total) = audit.page(filter, start, limit).await.unwrap();
                let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
                (ids, total)
            }
        };
        let all = AuditFilter::default;
        assert_eq!(ids(all(), None, 3).await, (vec![4, 3, 2], 4));
        assert_eq!(ids(all(), Some(1), 3).await, (vec![1], 4));
        let filters = [
            (
                AuditFilter {
                    action: Some("user_login".to_owned()),
                    ..all()
                },
                vec![1],
            ),
            (
                AuditFilter {
                    search: Some("NUMBER 2".to_owned()),
                    ..all()
                },
                vec![3],
            ),
            (
                AuditFilter {
                    after_id: Some(3),
                    ..all()
                },
                vec![4],
            ),
            (
                AuditFilter {
                    from: Some(at(1)),
                    to: Some(at(3)),
                    ..all()
                },
                vec![3, 2],
            ),
            (
                AuditFilter {
                    flocks: Some(vec!["flock:default".to_owned()]),
                    ..all()
                },
                vec![4],
            ),
        ];
        for (filter, wanted) in filters {
            assert_eq!(ids(filter, None, 9).await.0, wanted);
        }
        assert_eq!(
            audit
                .purge(at(0).plus(Duration::from_secs(2)))
                .await
                .unwrap(),
            2
        );
        assert_eq!(ids(all(), None, 9).await.0, [4, 3]);
    }
}
