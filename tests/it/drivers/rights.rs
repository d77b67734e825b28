//! What a user may not do is named before anything is changed [S0-79]: MongoDB and Elasticsearch with access control, and
//! roles of PostgreSQL.

use mongodb::bson::{Document, doc};
use serde_json::json;

use crate::support::elasticsearch::{Cluster, Project};
use crate::support::mongodb::{Mongo, file};
use crate::support::servers::OwnServer;
use crate::support::{Kind, Project as SqlProject, Said, wait};

/// A MongoDB URL with a login, for people who stand in the database `admin`.
fn login(url: &str, user: &str) -> String {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let also = if query.is_empty() { String::new() } else { format!("&{query}") };
    format!("{}?authSource=admin{also}", base.replace("mongodb://", &format!("mongodb://{user}:secured@")))
}

fn create_user(url: &str, user: &str, roles: Vec<Document>) {
    wait(async {
        let client = mongodb::Client::with_uri_str(url).await.unwrap();
        let command = doc! { "createUser": user, "pwd": "secured", "roles": roles };
        client.database("admin").run_command(command).await.unwrap();
    });
}

#[test]
fn s0_79_what_a_user_of_mongodb_may_not_do_is_named_before_anything_is_changed() {
    let server = OwnServer::up("mongodb_secured");
    // The first user is made by a client of the same machine without a login.
    create_user(&server.url, "root", vec![doc! { "role": "root", "db": "admin" }]);
    let files = [
        file(
            1,
            r#"[{ "type": "add_field", "collection": "people", "field": "z", "value": 1 },
                { "type": "create_index", "collection": "people", "index": [["z", 1]] }]"#,
            None,
        ),
        file(2, r#"[{ "type": "set_validator", "collection": "people", "validator": { "z": 1 } }]"#, None),
    ];
    let mongo = Mongo::at(&login(&server.url, "root"), &files);
    let name = mongo.url.rsplit_once('/').unwrap().1.split('?').next().unwrap().to_owned();
    mongo.insert("people", vec![doc! { "_id": 1 }]);
    let on = |role: &str| doc! { "role": role, "db": &name };
    for (user, roles) in [
        ("nobody", vec![]),
        ("reader", vec![on("read")]),
        ("writer", vec![on("readWrite")]),
        ("migrator", vec![on("readWrite"), on("dbAdmin")]),
    ] {
        create_user(&login(&server.url, "root"), user, roles);
    }
    let run = |user: &str| -> Said {
        let mut command = mongo.command_line(&["apply", "--yes"]);
        let url = mongo.url.replace("root:secured", &format!("{user}:secured"));
        let args: Vec<_> = command
            .get_args()
            .map(|a| if a == mongo.url.as_str() { url.clone().into() } else { a.to_owned() })
            .collect();
        command = crate::support::godwit(mongo.dir.path());
        command.args(args).output().unwrap().into()
    };
    let before = mongo.state();
    let nobody = run("nobody").expect(5);
    assert!(nobody.stderr.contains("not authorized"), "{nobody:?}");
    let reader = run("reader").expect(1);
    for part in [
        &format!("`update` on `{name}.people`"),
        "`createIndex`",
        "`collMod`",
        "godwit_history",
        "`readWrite` and `dbAdmin`",
    ] {
        assert!(reader.stdout.contains(part), "{part}: {reader:?}");
    }
    let writer = run("writer").expect(1);
    assert!(writer.stdout.contains(&format!("may not `collMod` on `{name}.people`")), "{writer:?}");
    assert_eq!(mongo.state(), before, "nothing was changed");
    run("migrator").expect(0);
    assert_eq!(mongo.history(), ["001_m1 applied", "002_m2 applied"]);
    for said in [nobody, reader, writer] {
        assert!(!format!("{said:?}").contains("secured"), "{said:?}");
    }
}

#[test]
fn s0_79_what_a_user_of_elasticsearch_may_not_do_is_named_before_anything_is_changed() {
    let server = OwnServer::up("elasticsearch_secured");
    let project = Project::on(
        Cluster::at(&server.url),
        &[
            (
                "001_grow",
                r#""operations": [{"type": "update_mapping", "index": "~v1", "mapping": {"properties": {"note": {"type": "text"}}}}], "rollback": []"#,
            ),
            (
                "002_swap",
                r#"[{"type": "swap_alias", "alias": "~orders", "from": "~v1", "to": "~v2", "mapping": {"properties": {"id": {"type": "keyword"}}}}]"#,
            ),
            (
                "003_template",
                r#"[{"type": "put_template", "name": "~t", "template": {"index_patterns": ["~t*"], "template": {"mappings": {"properties": {"a": {"type": "long"}}}}}}]"#,
            ),
            (
                "004_clean",
                r#""operations": [{"type": "delete_by_query", "index": "~v1", "query": {"term": {"id": "d1"}}}], "rollback": []"#,
            ),
        ],
    );
    project.cluster.fill("~v1", 5);
    project.cluster.ok("PUT", "~v1/_alias/~orders", Some(json!({})));
    let run = |user: &str| -> Said {
        let mut command = crate::support::godwit(project.dir.path());
        let url = project.cluster.url.replace("admin:secured", &format!("{user}:secured"));
        command.args(["apply", "--yes", "--accept-data-loss", "--url", &url, "--path"]).arg(project.migrations());
        command.output().unwrap().into()
    };
    let before = project.cluster.ok("GET", "~*", None);
    let clerk = run("clerk").expect(1);
    let v1 = project.cluster.name("v1");
    for part in [
        "lacks the privileges `manage_index_templates` on the cluster".to_owned(),
        format!("`maintenance`, `manage`, `write` on `{v1}`"),
        format!("on `{}`", project.cluster.name("v2_e*")),
        "`create_index`".to_owned(),
    ] {
        assert!(clerk.stdout.contains(&part), "{part}: {clerk:?}");
    }
    assert_eq!(project.cluster.ok("GET", "~*", None), before, "nothing was changed");
    assert!(!project.cluster.exists(&format!("godwit_{}_history", project.cluster.prefix)));
    assert!(!format!("{clerk:?}").contains("clerk:secured"), "{clerk:?}");
    run("migrator").expect(0);
    assert_eq!(project.cluster.history().len(), 4);
    assert_ne!(project.cluster.on("~orders"), ["v1"]);
}

#[test]
fn s0_79_a_role_of_postgresql_without_rights_on_godwits_tables_is_named_with_what_grants_them() {
    let project = SqlProject::new(Kind::Postgres, &[("0001_a.up.sql", "create table a (n integer);")]);
    project.run(&["apply", "--yes"]).expect(0);
    project.write("0002_b.up.sql", "insert into a values (1);");
    let url = url::Url::parse(&project.database.url).unwrap();
    let role = format!("clerk_of_{}", project.database.name());
    let own = format!("postgres://{role}@{}:{}{}", url.host_str().unwrap(), url.port().unwrap(), url.path());
    project.database.query(&format!("create role {role} login; grant insert on a to {role}"));
    let run = |args: &[&str]| -> Said { project.command_at(&own, args).output().unwrap().into() };
    let grant = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON godwit_history, godwit_fence TO {role}");
    let named = |said: Said| {
        let said = said.expect(5);
        for part in [&format!("`{role}` may not read and write"), &grant] {
            assert!(said.stderr.contains(part.as_str()), "{part}: {said:?}");
        }
    };
    named(run(&["status"]));
    named(run(&["apply", "--yes"]));
    let to_look = format!("GRANT SELECT ON godwit_history, godwit_fence TO {role}");
    let said = run(&["plan"]).expect(5).stderr;
    assert!(said.contains(&to_look), "{said}");
    // Who may only read sees the plan, and what a run needs besides.
    project.database.query(&to_look);
    let said = run(&["plan"]).expect(0).stdout;
    assert!(said.contains("insert into a values (1)") && said.contains(&grant), "{said}");
    let said = run(&["apply", "--yes"]).expect(1).stdout;
    assert!(said.contains("impossible: "), "{said}");
    project.database.query(&format!("revoke select on godwit_history, godwit_fence from {role}"));
    project.database.query(&format!("grant select, insert, update on godwit_history to {role}"));
    named(run(&["apply", "--yes"]));
    project.database.query(&format!("grant select on godwit_fence to {role}"));
    named(run(&["apply", "--yes"]));
    project.database.query(&grant);
    let said = run(&["apply", "--yes"]);
    project.database.query(&format!("drop owned by {role}; drop role {role}"));
    said.expect(0);
}

#[test]
fn where_nothing_was_applied_yet_a_reader_of_postgresql_sees_the_plan_and_leaves_nothing_behind() {
    let project = SqlProject::new(Kind::Postgres, &[("0001_a.up.sql", "create table a (n integer);")]);
    let url = url::Url::parse(&project.database.url).unwrap();
    let role = format!("reader_of_{}", project.database.name());
    let own = format!("postgres://{role}@{}:{}{}", url.host_str().unwrap(), url.port().unwrap(), url.path());
    project.database.query(&format!("revoke create on schema public from public; create role {role} login"));
    let run = |args: &[&str]| -> Said { project.command_at(&own, args).output().unwrap().into() };
    let plan = run(&["plan"]);
    let dry = run(&["apply", "--dry-run"]);
    project.database.query(&format!("drop owned by {role}; drop role {role}"));
    let said = plan.expect(0).stdout;
    for part in
        ["create table a (n integer)", "1 migration to run", &format!("`GRANT CREATE ON SCHEMA public TO {role}`")]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(dry.expect(1).stdout.contains("impossible: "));
    assert!(!project.database.has_table("godwit_history"));
}
