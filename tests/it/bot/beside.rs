//! What stands beside migrations and is touched by a pull request: a declared schema, workflows.

use super::world::{LINT, World, conclusion};

const SCHEMA: &str = "model User {\n  id String @id\n  @@map(\"users\")\n}\n";
const FILES: [(&str, &str); 3] = [
    (
        "godwit.yml",
        "version: 1\nenvironments: [development, staging, production]\nmigrations:\n  - path: prisma/migrations\n    layout: prisma\n    engine: postgresql\n",
    ),
    ("prisma/schema.prisma", SCHEMA),
    (
        "prisma/migrations/20240101000000_users/migration.sql",
        "CREATE TABLE \"users\" (\"id\" TEXT NOT NULL, CONSTRAINT \"users_pkey\" PRIMARY KEY (\"id\"));\n",
    ),
];
const COLUMN: (&str, &str) =
    ("prisma/migrations/20240102000000_nick/migration.sql", "ALTER TABLE \"users\" ADD COLUMN \"nick\" TEXT;\n");

#[tokio::test]
async fn n16_c01_a_pull_request_is_judged_by_what_it_touches_beside_its_migrations() {
    let world = World::start_with(&FILES).await;
    let alone = world.open("alone", &[COLUMN]).await;
    assert_eq!(conclusion(&alone, LINT), "failure", "the model has no such field");
    let with_field = SCHEMA.replace("  @@map", "  nick String?\n  @@map");
    let both = world.open("both", &[COLUMN, ("prisma/schema.prisma", &with_field)]).await;
    assert_eq!(conclusion(&both, LINT), "success");
    let reset = "name: Deploy\non: push\njobs:\n  run:\n    runs-on: ubuntu-latest\n    steps:\n      - run: npm run db:reset\n";
    let package = "{\"scripts\": {\"db:reset\": \"prisma migrate reset --force\"}}\n";
    let files = [
        COLUMN,
        ("prisma/schema.prisma", with_field.as_str()),
        (".github/workflows/deploy.yml", reset),
        ("package.json", package),
    ];
    let runs = world.open("runs", &files).await;
    assert_eq!(conclusion(&runs, LINT), "failure", "it empties the database");
}
