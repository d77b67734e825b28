//! Workers of a region: they alone run its targets, and alone hold their credentials.

use godwit::sandbox::{MergeMethod, PullHandle};

use crate::bot::process::{ENVIRONMENTS, Shop, history};
use crate::bot::world::{ENVIRONMENTS_YML, answer, comment, run_comment};
use crate::support::wait;
use crate::webhook::http::Served;

const ORDERS: (&str, &str) = ("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n");
const REGIONAL: [&str; 4] = ["--role", "worker", "--region", "eu-west"];

/// The company with these lines of staging and production instead.
fn shop(replace: &[(&str, &str)]) -> Shop {
    let text = replace.iter().fold(ENVIRONMENTS_YML.to_owned(), |text, (from, to)| text.replace(from, to));
    let shop = Shop::sqlite_with(&[("policies/environments.yml", &text)]);
    shop.on_postgres()
}

#[test]
fn a_regions_worker_alone_runs_its_targets_and_the_rest_is_left_to_others() {
    let staging = ("url: \"sqlite:${SHOP_STAGING}\"", "url: \"sqlite:${SHOP_STAGING}\", region: eu-west");
    let shop = shop(&[staging]);
    let central = [("GODWIT_SECRET_VARS", "acme/shop:*=SHOP_DEVELOPMENT,SHOP_PRODUCTION"), ("SHOP_STAGING", "")];
    let regional =
        [("GODWIT_SECRET_VARS", "acme/shop:*=SHOP_STAGING"), ("SHOP_DEVELOPMENT", ""), ("SHOP_PRODUCTION", "")];
    // It was there once; its work waits for it.
    shop.serve_as(&REGIONAL, &regional).kill();
    let web = shop.serve_as(&["--role", "web"], &[]);
    let _central = shop.serve_as(&["--role", "worker"], &central);
    shop.webhooks_to(&web);
    let pull = shop.approved("orders", &[ORDERS]);
    let merged = pull.merge("rosa", MergeMethod::Squash).unwrap();
    shop.until_told(&pull, "development", "1 migration applied");
    shop.until_told(&pull, "staging", "the worker of region `eu-west` runs `staging`");
    assert!(!shop.dir.path().join("staging.db").exists());
    // A workflow job that asks whether it may deploy there is answered by who can look.
    let job = shop.repo.request_deployment("rosa", "staging", &merged).unwrap();
    let gate = || shop.repo.gates().unwrap().into_iter().find(|g| g.run == job).unwrap();
    let _regional = shop.serve_as(&REGIONAL, &regional);
    shop.until_told(&pull, "staging", "1 migration applied");
    shop.until("the job may deploy", || gate().state.as_deref() == Some("approved"));
    assert!(gate().comments.iter().all(|c| !c.contains("SHOP_STAGING")), "{:?}", gate());
    // Back for what comes behind.
    shop.until_told(&pull, "production", "1 migration applied");
    shop.rest();
    for environment in ENVIRONMENTS {
        assert_eq!(history(&shop.dir.path().join(format!("{environment}.db"))), ["0001_orders applied"]);
        assert_eq!(shop.audited("run-finished", environment), 1, "{environment}");
    }
    assert_eq!(shop.open_runs(), 0);
}

/// A company whose production lies in two regions and in none: no worker reaches all of it.
struct Abroad {
    shop: Shop,
    central: [(&'static str, &'static str); 3],
    south: [(&'static str, &'static str); 3],
    west: [(&'static str, &'static str); 3],
}

const SOUTH: [&str; 4] = ["--role", "worker", "--region", "af-south"];
const CENTRAL: [&str; 2] = ["--role", "worker"];

const ABROAD_YML: &str = "version: 1\nenvironments: [development, production]\nmigrations:\n  \
     - { path: core, engine: sqlite, target: shop-core }\n  - { path: south, engine: sqlite, target: shop-south }\n  \
     - { path: west, engine: sqlite, target: shop-west }\n";
const ABROAD_ENVIRONMENTS: &str = "development:\n  targets:\n    \
     shop-core: { engine: sqlite, url: \"sqlite:${SHOP_DEVELOPMENT}\" }\n    \
     shop-south: { engine: sqlite, url: \"sqlite:${SHOP_DEVELOPMENT}.south\" }\n    \
     shop-west: { engine: sqlite, url: \"sqlite:${SHOP_DEVELOPMENT}.west\" }\n  migration: { auto_approve: true }\n\
     production:\n  targets:\n    shop-core: { engine: sqlite, url: \"sqlite:${SHOP_DEVELOPMENT}.core\" }\n    \
     shop-west: { engine: sqlite, url: \"sqlite:${SHOP_PRODUCTION}\", region: eu-west }\n    \
     shop-south: { engine: sqlite, url: \"sqlite:${SHOP_STAGING}\", region: af-south }\n  regions:\n    \
     - { name: af-south, provider: aws, compliance: [POPIA] }\n    - { name: eu-west, compliance: [GDPR] }\n  \
     migration: { backup_required: false }\n";

impl Abroad {
    fn found() -> Self {
        let files = [("godwit.yml", ABROAD_YML), ("policies/environments.yml", ABROAD_ENVIRONMENTS)];
        let shop = Shop::sqlite_with(&files).on_postgres();
        let only = |name: &'static str, others: [&'static str; 2]| {
            let allowed = match name {
                "SHOP_DEVELOPMENT" => "acme/shop:*=SHOP_DEVELOPMENT",
                "SHOP_STAGING" => "acme/shop:*=SHOP_STAGING",
                _ => "acme/shop:*=SHOP_PRODUCTION",
            };
            [("GODWIT_SECRET_VARS", allowed), (others[0], ""), (others[1], "")]
        };
        let abroad = Self {
            shop,
            central: only("SHOP_DEVELOPMENT", ["SHOP_STAGING", "SHOP_PRODUCTION"]),
            south: only("SHOP_STAGING", ["SHOP_DEVELOPMENT", "SHOP_PRODUCTION"]),
            west: only("SHOP_PRODUCTION", ["SHOP_DEVELOPMENT", "SHOP_STAGING"]),
        };
        // Both were there once; their work waits for them.
        abroad.shop.serve_as(&SOUTH, &abroad.south).kill();
        abroad.shop.serve_as(&REGIONAL, &abroad.west).kill();
        abroad
    }

    fn south_with(&self, failpoint: &str) -> Served {
        self.shop.serve_as(&SOUTH, &[&self.south[..], &[("GODWIT_FAILPOINT", failpoint)]].concat())
    }

    /// A migration for each place, which marks each time that it runs.
    fn approved(&self) -> PullHandle {
        let text = |table: &str| {
            format!("CREATE TABLE {table} (id INTEGER PRIMARY KEY);\nINSERT INTO {table} DEFAULT VALUES;\n")
        };
        let down = |table: &str| format!("DROP TABLE {table};\n");
        let files: Vec<(String, String)> = ["core", "south", "west"]
            .into_iter()
            .flat_map(|place| {
                let table = format!("t_{place}");
                [
                    (format!("{place}/0001_{table}.up.sql"), text(&table)),
                    (format!("{place}/0001_{table}.down.sql"), down(&table)),
                ]
            })
            .collect();
        let pairs: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
        self.shop.approved("orders", &pairs)
    }

    fn file(&self, place: &str) -> std::path::PathBuf {
        let name = match place {
            "core" => "development.db.core",
            "south" => "staging.db",
            _ => "production.db",
        };
        self.shop.dir.path().join(name)
    }

    /// How often a place's migration left its mark; `None` where it never ran.
    fn marks(&self, place: &str) -> Option<i64> {
        let file = self.file(place);
        let count = format!("SELECT count(*) FROM t_{place}");
        file.exists().then(|| in_sqlite(&file, &count)).flatten()
    }

    /// Production is brought forward everywhere, each place once, and told as one.
    fn assert_whole(&self, pull: &PullHandle) {
        self.shop.rest();
        for place in ["core", "south", "west"] {
            assert_eq!(self.marks(place), Some(1), "{place}");
            assert_eq!(history(&self.file(place)), [format!("0001_t_{place} applied")]);
        }
        // `comment` fails when there are two.
        let told = comment(pull, "<!-- godwit:run:production -->").unwrap().body;
        assert!(told.contains("3 migrations applied"), "{told}");
        for (mark, region, rule) in
            [("✅", "`af-south` (aws) | `shop-south`", "`POPIA`"), ("✅", "`eu-west` | `shop-west`", "`GDPR`")]
        {
            assert!(told.contains(&format!("| {mark} | {region} | {rule}: approved by `@omar`, `@dora`")), "{told}");
        }
        assert!(pull.labels().unwrap().contains(&"migrated:production".to_owned()));
        let deployment = self.shop.repo.deployments().unwrap().into_iter().find(|d| d.environment == "production");
        assert_eq!(deployment.unwrap().states.last().map(String::as_str), Some("success"));
        assert_eq!(self.shop.audited("run-finished", "production"), 1);
        assert_eq!(self.shop.open_runs(), 0);
    }
}

#[test]
fn s0_07_an_environment_of_several_regions_is_brought_forward_by_their_workers_one_behind_the_other() {
    let abroad = Abroad::found();
    let shop = &abroad.shop;
    let web = shop.serve_as(&["--role", "web"], &[]);
    let _central = shop.serve_as(&CENTRAL, &abroad.central);
    shop.webhooks_to(&web);
    // The last one in the order is there all the time, and waits.
    let _west = shop.serve_as(&REGIONAL, &abroad.west);
    let pull = abroad.approved();
    shop.merge(&pull);
    shop.until_told(&pull, "production", "the worker of region `af-south` runs `shop-south` of `production`");
    let told = run_comment(&pull, "production");
    assert!(told.contains("`shop-core` of it is done") && told.contains("--role worker --region af-south"), "{told}");
    assert_eq!((abroad.marks("core"), abroad.marks("south"), abroad.marks("west")), (Some(1), None, None));
    let _south = shop.serve_as(&SOUTH, &abroad.south);
    shop.until_told(&pull, "production", "3 migrations applied");
    abroad.assert_whole(&pull);
    assert_eq!(shop.audited("part-finished", "production"), 2);
    // Each part by its own worker, in their order.
    let regions: Vec<String> = shop
        .audit()
        .into_iter()
        .filter(|r| r.body.action == "part-finished")
        .map(|r| r.body.details["region"].clone())
        .collect();
    assert_eq!(regions, ["", "af-south"]);
}

#[test]
fn b8_a_regions_worker_that_is_killed_between_or_within_parts_repeats_none_of_them() {
    for point in ["stmt_sent", "commit_acked", "run_post", "part_recorded"] {
        let abroad = Abroad::found();
        let shop = &abroad.shop;
        let web = shop.serve_as(&["--role", "web"], &[]);
        let _central = shop.serve_as(&CENTRAL, &abroad.central);
        shop.webhooks_to(&web);
        let held = shop.dir.path().join("held-up");
        let south = abroad.south_with(&format!("{point}:wait:1:{}", held.display()));
        let pull = abroad.approved();
        shop.merge(&pull);
        shop.until(point, || held.exists());
        south.kill();
        let _west = shop.serve_as(&REGIONAL, &abroad.west);
        let _south = shop.serve_as(&SOUTH, &abroad.south);
        shop.until_told(&pull, "production", "3 migrations applied");
        abroad.assert_whole(&pull);
    }
}

#[test]
fn b8_what_the_first_worker_did_before_it_was_killed_is_told_once() {
    let abroad = Abroad::found();
    let shop = &abroad.shop;
    let web = shop.serve_as(&["--role", "web"], &[]);
    shop.webhooks_to(&web);
    let held = shop.dir.path().join("held-up");
    // The first three commits are development's.
    let point = format!("commit_acked:wait:4:{}", held.display());
    let killed = [("GODWIT_FAILPOINT", point.as_str()), ("GODWIT_LEASE", "2")];
    let central = shop.serve_as(&CENTRAL, &[&abroad.central[..], &killed].concat());
    let pull = abroad.approved();
    shop.merge(&pull);
    shop.until("the first part is committed", || held.exists());
    assert_eq!((abroad.marks("core"), abroad.marks("south")), (Some(1), None));
    central.kill();
    let _central = shop.serve_as(&CENTRAL, &abroad.central);
    let _south = shop.serve_as(&SOUTH, &abroad.south);
    let _west = shop.serve_as(&REGIONAL, &abroad.west);
    shop.until_told(&pull, "production", "3 migrations applied");
    abroad.assert_whole(&pull);
}

#[test]
fn s0_07_a_part_that_fails_stops_the_rest_and_once_it_is_settled_the_rest_goes_on() {
    let abroad = Abroad::found();
    let shop = &abroad.shop;
    let web = shop.serve_as(&["--role", "web"], &[]);
    let _central = shop.serve_as(&CENTRAL, &abroad.central);
    let _south = shop.serve_as(&SOUTH, &abroad.south);
    let _west = shop.serve_as(&REGIONAL, &abroad.west);
    shop.webhooks_to(&web);
    let pull = abroad.approved();
    in_sqlite(&abroad.file("south"), "CREATE TABLE t_south (x)");
    shop.merge(&pull);
    shop.until_told(&pull, "production", "failed after 1 of 2 migrations");
    shop.rest();
    let told = run_comment(&pull, "production");
    assert!(told.contains("`0001_t_core` | `shop-core`") && told.contains("already exists"), "{told}");
    assert!(told.contains("| ❌ | `af-south` (aws)") && told.contains("| · | `eu-west` |"), "{told}");
    assert_eq!((abroad.marks("core"), abroad.marks("west")), (Some(1), None));
    assert_eq!(shop.audited("run-finished", "production"), 1);
    for sql in ["DROP TABLE t_south", "CREATE TABLE t_south (id INTEGER PRIMARY KEY)", "INSERT INTO t_south VALUES (1)"]
    {
        in_sqlite(&abroad.file("south"), sql);
    }
    let id = pull.comment("omar", "/godwit resolve production 0001_t_south applied made by hand").unwrap();
    shop.until("it is settled", || answer(&pull, id).contains("on `shop-south` was failed, is applied"));
    shop.until_told(&pull, "production", "1 migration applied");
    shop.rest();
    for place in ["core", "south", "west"] {
        assert_eq!(abroad.marks(place), Some(1), "{place}");
    }
    assert!(pull.labels().unwrap().contains(&"migrated:production".to_owned()));
    assert_eq!(shop.audited("run-finished", "production"), 2);
}

#[test]
fn what_waits_for_the_worker_of_the_next_region_is_cancelled_and_goes_on_from_there() {
    let abroad = Abroad::found();
    let shop = &abroad.shop;
    let web = shop.serve_as(&["--role", "web"], &[]);
    let _central = shop.serve_as(&CENTRAL, &abroad.central);
    let _west = shop.serve_as(&REGIONAL, &abroad.west);
    shop.webhooks_to(&web);
    let pull = abroad.approved();
    shop.merge(&pull);
    shop.until_told(&pull, "production", "`shop-core` of it is done");
    let asked = pull.comment("omar", "/godwit cancel production").unwrap();
    shop.until("omar is answered", || answer(&pull, asked).contains("The regions that have it keep it"));
    shop.until_told(&pull, "production", "was cancelled by `@omar`");
    let _south = shop.serve_as(&SOUTH, &abroad.south);
    shop.rest();
    assert_eq!((abroad.marks("core"), abroad.marks("south"), abroad.marks("west")), (Some(1), None, None));
    pull.comment("omar", "/godwit retry production").unwrap();
    shop.until_told(&pull, "production", "3 migrations applied");
    abroad.assert_whole(&pull);
}

#[test]
fn commands_that_reach_a_database_are_answered_by_the_worker_that_holds_its_credentials() {
    let abroad = Abroad::found();
    let shop = &abroad.shop;
    let web = shop.serve_as(&["--role", "web"], &[]);
    let _central = shop.serve_as(&CENTRAL, &abroad.central);
    let _west = shop.serve_as(&REGIONAL, &abroad.west);
    let south = shop.serve_as(&SOUTH, &abroad.south);
    shop.webhooks_to(&web);
    let pull = abroad.approved();
    let merged = pull.merge("rosa", MergeMethod::Squash).unwrap();
    shop.until_told(&pull, "production", "3 migrations applied");
    abroad.assert_whole(&pull);
    let job = shop.repo.request_deployment("rosa", "production", &merged).unwrap();
    let gate = || shop.repo.gates().unwrap().into_iter().find(|g| g.run == job).unwrap();
    shop.until("the job may deploy", || gate().state.as_deref() == Some("approved"));
    let asked = |person: &str, text: &str, part: &str| {
        let id = pull.comment(person, text).unwrap();
        shop.until(part, || answer(&pull, id).contains(part));
        answer(&pull, id)
    };
    // Whose it is is said at once, whoever is there.
    south.terminate();
    south.wait();
    let id = pull.comment("omar", "/godwit rollback production 0001_t_south").unwrap();
    shop.until("it waits", || answer(&pull, id).contains("The worker of region `af-south` answers this"));
    let _south = shop.serve_as(&SOUTH, &abroad.south);
    shop.until("it is answered", || answer(&pull, id).contains("waits for a second person"));
    let said = answer(&pull, id);
    assert!(said.contains("DROP TABLE t_south"), "{said}");
    let at = said.find("/godwit confirm ").unwrap() + "/godwit confirm ".len();
    let request: String = said[at..].chars().take_while(char::is_ascii_alphanumeric).collect();
    asked("dora", &format!("/godwit confirm {request}"), "Undoing");
    shop.until_told(&pull, "production", "1 migration undone");
    shop.rest();
    assert_eq!((abroad.marks("core"), abroad.marks("south"), abroad.marks("west")), (Some(1), None, Some(1)));
    let states = |environment: &str| {
        let all = shop.repo.deployments().unwrap();
        all.into_iter().find(|d| d.environment == environment).map(|d| d.states).unwrap()
    };
    shop.until("the deployment is not in use", || states("production").last().is_some_and(|s| s == "inactive"));
    let two = "/godwit rollback production 0001_t_south\n/godwit rollback production 0001_t_west";
    let said = asked("omar", two, "different workers");
    assert!(said.contains("nothing was done") && said.contains("a comment of its own"), "{said}");
    pull.comment("omar", "/godwit retry production").unwrap();
    shop.until_told(&pull, "production", "1 migration applied");
    shop.rest();
    for place in ["core", "south", "west"] {
        assert_eq!(abroad.marks(place), Some(1), "{place}");
    }
    assert!(states("production").last().is_some_and(|s| s == "success"), "{:?}", states("production"));
}

/// The number that a statement gives in a SQLite file; `None` where it fails or gives none.
fn in_sqlite(file: &std::path::Path, sql: &str) -> Option<i64> {
    use sqlx::Connection as _;
    wait(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).create_if_missing(true);
        let mut c = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        let found = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_optional(&mut c).await;
        c.close().await.unwrap();
        found.ok().flatten()
    })
}
