use std::sync::Mutex;
use std::time::Duration;

use coalmine_core::token::{Answer, Artefact, Group, Places, Reach, TokenChannel, Trip};
use coalmine_core::{Seed, Timestamp};
use coalmine_store::Store;
use coalmine_store::tokens::NewToken;
use serde_json::json;

use super::*;
use crate::ingest::tests::{console, incidents};

static KIND: TokenKind = TokenKind {
    id: "aws-id",
    title: "AWS API Key",
    description: "Amazon API Key",
    doc: "",
    group: Group::Web,
    trial: "",
    logtype: 17_012,
    channels: &[TokenChannel::Http],
    reach: Reach::Direct,
    asks: &[],
    event: &[],
    mint: |_| Ok(Artefact::default()),
    trip: |_, _| Trip::silent(Answer::Plain),
};
static KINDS: &[&TokenKind] = &[&KIND];
static TOUCHED: coalmine_core::EventKind = coalmine_core::token::event_kind(&[]);

/// An account that says the same of every token.
#[derive(Debug)]
struct Cloud {
    says: Mutex<Looked>,
    /// Each token that was looked at, the mark that came with it, and the marks in the store then.
    looks: Mutex<Vec<(TokenId, Value, Value)>>,
    /// Each switch of the first token's credentials, and whether it was enabled here then.
    switches: Mutex<Vec<(bool, bool)>>,
    store: Store,
}

impl CloudProvider for Cloud {
    fn kind(&self) -> &'static str {
        KIND.id
    }

    fn reach(&self) -> &'static str {
        ""
    }

    fn pause(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn create(&self, _: &TokenId) -> Result<Map<String, Value>, CloudError> {
        Ok(Map::new())
    }

    fn delete(&self, _: &Map<String, Value>) -> Result<(), CloudError> {
        Ok(())
    }

    fn set_enabled(&self, _: &Map<String, Value>, enabled: bool) -> Result<(), CloudError> {
        let now = tokio::runtime::Handle::current().block_on(self.store.tokens().get(&id(1)));
        let switch = (enabled, now.unwrap().unwrap().enabled);
        self.switches.lock().unwrap().push(switch);
        match self.says.lock().unwrap().problem.clone() {
            None => Ok(()),
            Some(problem) => Err(problem),
        }
    }

    fn look(&self, token: &Token, mark: &Value, _: Timestamp) -> Looked {
        let marks = tokio::runtime::Handle::current().block_on(marks(&self.store));
        let look = (token.id.clone(), mark.clone(), marks);
        self.looks.lock().unwrap().push(look);
        self.says.lock().unwrap().clone()
    }
}

/// A Console with two tokens of an account at a cloud; the second is looked at first.
struct Bench {
    _dir: tempfile::TempDir,
    console: Shared,
    cloud: Arc<Cloud>,
    provider: Arc<dyn CloudProvider>,
}

impl Bench {
    async fn new() -> Self {
        let (dir, mut console) = console();
        let cloud = Arc::new(Cloud {
            says: Mutex::new(said()),
            looks: Mutex::default(),
            switches: Mutex::default(),
            store: console.store.clone(),
        });
        let provider: Arc<dyn CloudProvider> = Arc::<Cloud>::clone(&cloud);
        let own = Arc::get_mut(&mut console).unwrap();
        own.catalogue.tokens = KINDS;
        own.catalogue.events.push(&TOUCHED);
        own.config.token_others.clouds = vec![Arc::clone(&provider)];
        for number in [1, 2] {
            let token = NewToken {
                id: id(number),
                kind: KIND.id.to_owned(),
                memo: String::new(),
                flock_id: "flock:default".to_owned(),
                created: now(),
                params: BTreeMap::new(),
                fields: Map::from_iter([(INTEGRATION.to_owned(), CONNECTED.into())]),
                factory_auth: None,
                places: Places::default(),
                files: BTreeMap::new(),
                aliases: Vec::new(),
            };
            console.store.tokens().create(token).await.unwrap();
        }
        Self {
            _dir: dir,
            console,
            cloud,
            provider,
        }
    }

    /// One round in which the cloud says this; what it was asked.
    async fn round(&self, says: Looked) -> Vec<(TokenId, Value, Value)> {
        *self.cloud.says.lock().unwrap() = says;
        round(&self.console, &self.provider).await.unwrap();
        std::mem::take(&mut *self.cloud.looks.lock().unwrap())
    }

    /// Switches the first token, while the cloud says this; what was left, how the cloud was asked,
    /// and whether the token is enabled then.
    async fn switch(
        &self,
        enabled: bool,
        says: Looked,
    ) -> (Option<String>, Vec<(bool, bool)>, bool) {
        *self.cloud.says.lock().unwrap() = says;
        let tokens = self.console.store.tokens();
        let token = tokens.get(&id(1)).await.unwrap().unwrap();
        let left = set_enabled(&self.console, &token, enabled).await.unwrap();
        let token = tokens.get(&id(1)).await.unwrap().unwrap();
        let asked = std::mem::take(&mut *self.cloud.switches.lock().unwrap());
        (left.map(|problem| problem.0), asked, token.enabled)
    }

    async fn problem(&self) -> Option<String> {
        let settings = self.console.store.settings();
        settings.get(&state(KIND.id)).await.unwrap()
    }
}

fn id(number: u8) -> TokenId {
    TokenId::from_seed(&Seed::new([number; 32]))
}

async fn marks(store: &Store) -> Value {
    let marks = store.settings().get("cloud_marks:aws-id").await.unwrap();
    marks.unwrap_or_default()
}

/// Nothing new.
fn said() -> Looked {
    Looked {
        touches: Vec::new(),
        mark: json!("m"),
        problem: None,
        is_unreachable: false,
    }
}

fn failed(is_unreachable: bool) -> Looked {
    Looked {
        problem: Some(CloudError("no".to_owned())),
        is_unreachable,
        ..said()
    }
}

#[tokio::test]
async fn a_problem_from_before_a_restart_ends_with_the_first_look_that_succeeds() {
    let bench = Bench::new().await;
    bench.round(failed(false)).await;
    assert_eq!(bench.problem().await.as_deref(), Some("no"));
    // A new run knows the store alone.
    let run = tokio::spawn(run(Arc::clone(&bench.console), Arc::clone(&bench.provider)));
    for _ in 0..500 {
        *bench.cloud.says.lock().unwrap() = said();
        if bench.problem().await.as_deref() == Some("") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    run.abort();
    assert_eq!(bench.problem().await.as_deref(), Some(""));
}

#[tokio::test]
async fn a_round_ends_where_the_account_cannot_be_reached_and_not_where_it_refuses() {
    let bench = Bench::new().await;
    assert_eq!(bench.round(failed(false)).await.len(), 2);
    assert_eq!(bench.round(failed(true)).await.len(), 1);
    assert_eq!(bench.problem().await.as_deref(), Some("no"));
    assert_eq!(bench.round(said()).await.len(), 2);
    assert_eq!(bench.problem().await.as_deref(), Some(""));
}

#[tokio::test]
async fn marks_are_kept_once_a_round_and_with_what_is_recorded() {
    let bench = Bench::new().await;
    let both = json!({(id(1).to_string()): "m", (id(2).to_string()): "m"});
    let looks = bench.round(said()).await;
    assert_eq!(looks[1].2, Value::Null, "not yet");
    assert_eq!(marks(&bench.console.store).await, both);

    let touch = CloudTouch {
        id: "e-1".to_owned(),
        at: now(),
        source: None,
        fields: Map::new(),
    };
    let used = Looked {
        touches: vec![touch],
        mark: json!("n"),
        ..said()
    };
    let looks = bench.round(used.clone()).await;
    assert_eq!(looks[1].2[id(2).as_str()], "n");
    // What was recorded and is told again, as after a stop before the marks were kept.
    bench.round(used).await;
    let incidents = incidents(&bench.console).await;
    let counts: Vec<_> = incidents.iter().map(|one| one.events_count).collect();
    assert_eq!(counts, [1, 1]);
}

#[tokio::test]
async fn a_disabled_token_is_not_asked_about_and_keeps_its_mark() {
    let bench = Bench::new().await;
    bench.round(said()).await;
    let tokens = bench.console.store.tokens();
    tokens.set_enabled(&id(1), false).await.unwrap();
    let looks = bench.round(said()).await;
    assert_eq!(looks.len(), 1);
    assert_eq!(looks[0].0, id(2));
    tokens.set_enabled(&id(1), true).await.unwrap();
    let looks = bench.round(said()).await;
    let look = looks.iter().find(|look| look.0 == id(1)).unwrap();
    assert_eq!(look.1, "m");

    tokens.delete(&id(1)).await.unwrap();
    bench.round(said()).await;
    let marks = marks(&bench.console.store).await;
    assert_eq!(marks.get(id(1).as_str()), None, "a deleted one doesn't");
}

#[tokio::test]
async fn an_enabled_token_has_valid_credentials_wherever_a_switch_ends() {
    let bench = Bench::new().await;
    let no = || Some("no".to_owned());
    // Disabled before the cloud is asked, enabled after it.
    assert_eq!(
        bench.switch(false, said()).await,
        (None, vec![(false, false)], false)
    );
    assert_eq!(
        bench.switch(true, failed(false)).await,
        (no(), vec![(true, false)], false)
    );
    assert_eq!(
        bench.switch(true, said()).await,
        (None, vec![(true, false)], true)
    );
    assert_eq!(
        bench.switch(false, failed(true)).await,
        (no(), vec![(false, false)], false)
    );
    // Again, once the cloud may be asked for it.
    assert_eq!(
        bench.switch(false, said()).await,
        (None, vec![(false, false)], false)
    );
}

#[tokio::test]
async fn without_its_account_a_token_can_be_disabled_and_not_enabled() {
    let mut bench = Bench::new().await;
    let Some(console) = Arc::get_mut(&mut bench.console) else {
        panic!("somebody else holds it")
    };
    console.config.token_others.clouds.clear();
    let (left, asked, enabled) = bench.switch(false, said()).await;
    assert!(left.unwrap().contains("not configured any more"));
    assert_eq!((asked, enabled), (vec![], false));
    let (left, _, enabled) = bench.switch(true, said()).await;
    assert!(left.is_some() && !enabled);
}
