//! Who may touch which table on PostgreSQL: roles, grants and row-level security. SQLite has none of it; there
//! every query's own condition on the team is the only protection.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, Statement};

use crate::dialect::{Dialect, Role};
use crate::tables::{TABLES, TENANT_TABLES, Table};
use crate::{Db, DbError};

/// What an administrator must run where the account may not make the roles, or may not take them on.
async fn roles_sql(db: &DatabaseConnection) -> Result<String, DbErr> {
    let account = account(db).await?.quoted;
    let mut sql = String::new();
    for role in [Role::App, Role::System].map(Role::name) {
        let made = "SELECT 1 AS made FROM pg_roles WHERE rolname = $1";
        let made = Statement::from_sql_and_values(DbBackend::Postgres, made, [role.into()]);
        if db.query_one_raw(made).await?.is_none() {
            sql.push_str(&format!("CREATE ROLE {role} NOLOGIN;\n"));
        }
    }
    Ok(format!("{sql}GRANT {}, {} TO {account};", Role::App.name(), Role::System.name()))
}

/// The account of the database's URL.
struct Account {
    /// As SQL spells it.
    quoted: String,
    /// Whether it is a superuser or may bypass row-level security.
    unbound: bool,
    /// The schema of the tables, as SQL spells it.
    schema: String,
}

async fn account(db: &DatabaseConnection) -> Result<Account, DbErr> {
    let sql = "SELECT format('%I', rolname) AS quoted, (rolsuper OR rolbypassrls) AS unbound, \
         format('%I', COALESCE(current_schema(), 'public')) AS schema \
         FROM pg_roles WHERE rolname = session_user";
    let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("pg_roles".into()))?;
    Ok(Account {
        quoted: row.try_get("", "quoted")?,
        unbound: row.try_get("", "unbound")?,
        schema: row.try_get("", "schema")?,
    })
}

/// The notice for an account that row-level security does not bind.
pub(super) async fn account_notice(db: &Db) -> Result<Option<String>, DbError> {
    let Account { quoted, unbound, .. } = account(&db.writer()).await?;
    Ok(unbound.then(|| {
        format!(
            "the account {quoted} in DATABASE_URL is a superuser or may bypass row-level security: the server's \
             transactions give that up, but an account without these rights is safer"
        )
    }))
}

/// A migration's error in terms of what an administrator can do.
pub(super) async fn migration_error(db: &Db, error: &DbError) -> DbError {
    let reason = error.said();
    let found = if db.dialect() == Dialect::Postgres { account(&db.writer()).await.ok() } else { None };
    let remedy = match found {
        Some(Account { quoted, schema, .. }) if error.is_denied() && reason.contains("schema") => {
            format!("An administrator must run:\nGRANT USAGE, CREATE ON SCHEMA {schema} TO {quoted};")
        }
        Some(Account { quoted, .. }) if error.is_denied() => {
            format!("Run `han-server migrate` with the account that owns the tables; {quoted} does not")
        }
        _ => "Report this with the versions of han-server and of the database".to_owned(),
    };
    DbError::Migration { reason, remedy }
}

/// Makes the two roles. They belong to the whole cluster, so another database's migration may be making them at
/// this moment: the process that loses that race finds them.
pub(super) async fn ensure_roles(db: &DatabaseConnection) -> Result<(), DbError> {
    for role in [Role::App, Role::System].map(Role::name) {
        // What matters is whether the account may SET ROLE. Up to PostgreSQL 15 every member may; from 16 on the account that
        // makes a role administers it, which is a membership without that right, until it is granted
        // (postgresql.org/docs/16/role-attributes.html and sql-grant.html; only 15 is at hand in the tests).
        let member = "SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1) AS made, \
             COALESCE((SELECT pg_has_role(current_user, oid, \
             CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END) \
             FROM pg_roles WHERE rolname = $1), false) AS member";
        let check = || async {
            let statement = Statement::from_sql_and_values(DbBackend::Postgres, member, [role.into()]);
            let row =
                db.query_one_raw(statement).await?.ok_or_else(|| DbErr::RecordNotFound("pg_roles".into()))?;
            Ok::<(bool, bool), DbErr>((row.try_get("", "made")?, row.try_get("", "member")?))
        };
        let mut last = None;
        for _ in 0..5 {
            let (made, is_member) = check().await?;
            let sql = match (made, is_member) {
                (true, true) => {
                    last = None;
                    break;
                }
                (false, _) => format!("CREATE ROLE {role} NOLOGIN"),
                (true, false) => format!("GRANT {role} TO CURRENT_USER"),
            };
            last = db.execute_unprepared(&sql).await.err();
        }
        if let Some(err) = last {
            let reason = DbError::from(err).said();
            return Err(DbError::Privileges { reason, sql: roles_sql(db).await? });
        }
    }
    Ok(())
}

/// Whether the schema has any table.
pub(super) async fn has_tables(db: &DatabaseConnection) -> Result<bool, DbError> {
    let sql = "SELECT 1 AS n FROM pg_class WHERE relkind IN ('r', 'p') \
               AND relnamespace = current_schema()::regnamespace LIMIT 1";
    Ok(db.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?.is_some())
}

/// Waits for the lock under which migrations run; it is given back when the transaction ends.
pub(super) async fn lock(tx: &DatabaseTransaction, key: i64) -> Result<(), DbError> {
    let sql = "SELECT pg_advisory_xact_lock($1)";
    tx.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, [key.into()])).await?;
    Ok(())
}

/// Locks the table of sessions, if there is one, before migrations lock others: a push locks its session first, and the
/// outbox last.
pub(super) async fn lock_sessions(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    let sql = "DO $$ BEGIN
        IF to_regclass('sessions') IS NOT NULL THEN
            LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE;
        END IF;
    END $$";
    tx.execute_unprepared(sql).await?;
    Ok(())
}

/// Grants every table to the role that uses it and puts the policies in place. Run after every migration: what is
/// already so stays so.
pub(super) async fn grant(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    let mut sql = String::from(
        "DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO han_app, han_system', current_schema()); END $$;\n\
         REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC;\n",
    );
    // Byte order, as in SQLite, in every text column without another collation: lists sort alike on both.
    sql.push_str(
        "DO $$ DECLARE c record; BEGIN
            FOR c IN SELECT table_name, column_name FROM information_schema.columns
                WHERE table_schema = current_schema() AND data_type = 'text' AND collation_name IS NULL LOOP
                EXECUTE format('ALTER TABLE %I ALTER COLUMN %I TYPE text COLLATE \"C\"', c.table_name, c.column_name);
            END LOOP;
        END $$;\n\
        GRANT SELECT ON SEQUENCE changes_seq_seq TO han_system;\n\
        GRANT SELECT ON seaql_migrations TO han_system;\n",
    );
    // What runs with its owner's rights must not find its tables in a caller's temporary schema, which is searched
    // first wherever it is not named (postgresql.org/docs/15/sql-createfunction.html, "Writing SECURITY DEFINER
    // Functions Safely").
    sql.push_str(
        "DO $$ DECLARE f record; BEGIN
            FOR f IN SELECT oid::regprocedure AS name FROM pg_proc
                WHERE pronamespace = current_schema()::regnamespace AND prosecdef LOOP
                EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', f.name, current_schema());
            END LOOP;
        END $$;\n",
    );
    for Table { name, access, .. } in TABLES {
        let (app, system) = access.grants();
        sql.push_str(&format!("GRANT {system} ON {name} TO han_system;\n"));
        if !app.is_empty() {
            sql.push_str(&format!("GRANT {app} ON {name} TO han_app;\n"));
        }
        if let Some((both, app)) = access.never() {
            sql.push_str(&format!(
                "REVOKE {both}{app} ON {name} FROM han_app;\nREVOKE {both} ON {name} FROM han_system;\n"
            ));
        }
    }
    // The check of new rows asks for the setting in a subquery, which runs once for each statement. As a plain expression
    // it would run for each row, which made an insert of many rows a third slower.
    for table in TENANT_TABLES {
        sql.push_str(&format!(
            "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;\n\
             DROP POLICY IF EXISTS team ON {table};\n\
             CREATE POLICY team ON {table} TO han_app \
               USING (team = nullif(current_setting('han.team', true), '')::int) \
               WITH CHECK (team = (SELECT nullif(current_setting('han.team', true), '')::int));\n\
             DROP POLICY IF EXISTS system ON {table};\n\
             CREATE POLICY system ON {table} TO han_system USING (true) WITH CHECK (true);\n"
        ));
    }
    tx.execute_unprepared(&sql).await?;
    Ok(())
}

/// How many of the migrations `known` are missing. The list is read in the system role, so that the account needs no grant.
pub(super) async fn pending(db: &Db, known: &[String]) -> Result<usize, DbError> {
    let found = async {
        let tx = db.read_as(Role::System, "migrations.check").await?;
        tx.rows("SELECT version FROM seaql_migrations ORDER BY version", []).await
    };
    let rows = match found.await {
        Ok(rows) => rows,
        // There is no such role, or no such table: nothing was migrated yet.
        Err(error) if matches!(error.code().as_deref(), Some("22023" | "42704" | "42P01")) => Vec::new(),
        Err(error) if error.is_denied() => return Err(denied(db, &error, "seaql_migrations").await?),
        Err(error) => return Err(error),
    };
    let applied: Vec<String> =
        rows.iter().map(|row| row.try_get("", "version")).collect::<Result<_, DbErr>>()?;
    if let Some(newer) = applied.iter().find(|version| !known.contains(version)) {
        return Err(DbError::SchemaNewer(format!("it has the migration {newer}")));
    }
    Ok(known.iter().filter(|version| !applied.contains(version)).count())
}

/// The error for an account that may not take on the system role, or for a system role that may not read `table`.
async fn denied(db: &Db, error: &DbError, table: &str) -> Result<DbError, DbError> {
    let (reason, system) = (error.said(), Role::System.name());
    let sql = if reason.contains("role") {
        roles_sql(&db.writer()).await?
    } else {
        format!("GRANT SELECT ON {table} TO {system};")
    };
    Ok(DbError::Privileges { reason, sql })
}

/// Whether the two roles have every grant that the migrations give them, and no grant to change what is never changed.
pub(super) async fn check_grants(db: &Db) -> Result<(), DbError> {
    let tx = db.read_as(Role::System, "grants.check").await?;
    let roles = |table: &Table| {
        let (app, system) = table.access.grants();
        [(Role::App, app), (Role::System, system)]
            .map(|(role, grants)| (table.name, table.access, role, grants))
    };
    let wanted = TABLES.iter().flat_map(roles);
    let wanted: Vec<String> = wanted
        .map(|(name, access, role, grants)| {
            let never = if access.never().is_some() { "UPDATE" } else { "" };
            format!("('{}', '{name}', '{grants}', '{never}')", role.name())
        })
        .collect();
    let sql = format!(
        "SELECT w.role, w.name, w.grants, w.never, COALESCE((\
           SELECT bool_and(has_table_privilege(w.role, c.oid, p)) \
           FROM pg_class c, unnest(string_to_array(w.grants, ', ')) AS p \
           WHERE c.relname = w.name AND c.relnamespace = current_schema()::regnamespace), w.grants = '') AS granted, \
           w.never <> '' AND COALESCE((SELECT has_table_privilege(w.role, c.oid, 'UPDATE') FROM pg_class c \
           WHERE c.relname = w.name AND c.relnamespace = current_schema()::regnamespace), false) AS excess \
         FROM (VALUES {}) AS w(role, name, grants, never)",
        wanted.join(", ")
    );
    let (mut repair, mut lacks) = (String::new(), false);
    for row in tx.rows(&sql, []).await? {
        let (role, table): (String, String) = (row.try_get("", "role")?, row.try_get("", "name")?);
        if !row.try_get::<bool>("", "granted")? {
            let grants: String = row.try_get("", "grants")?;
            repair.push_str(&format!("GRANT {grants} ON {table} TO {role};\n"));
            lacks = true;
        }
        if row.try_get::<bool>("", "excess")? {
            repair.push_str(&format!("REVOKE UPDATE ON {table} FROM {role};\n"));
        }
    }
    if repair.is_empty() {
        return Ok(());
    }
    let reason = if lacks {
        "the roles of the server lack grants"
    } else {
        "the roles of the server may change what the audit log says"
    };
    Err(DbError::Privileges { reason: reason.to_owned(), sql: repair.trim_end().to_owned() })
}

/// Whether row-level security is on for every table of teams' data, with the policies that the migrations made and no
/// other that shows the app role more.
pub(super) async fn check_policies(db: &Db) -> Result<(), DbError> {
    let tx = db.read_as(Role::System, "policies.check").await?;
    let sql = "SELECT relname::text AS name, relrowsecurity AS enabled, relforcerowsecurity AS forced, \
           pg_has_role('han_app', relowner, 'MEMBER') AS owned \
         FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace";
    let mut secured = HashMap::new();
    for row in tx.rows(sql, []).await? {
        let name: String = row.try_get("", "name")?;
        let (enabled, forced): (bool, bool) = (row.try_get("", "enabled")?, row.try_get("", "forced")?);
        // Its owner is bound only where it is forced.
        let bound = forced || !row.try_get::<bool>("", "owned")?;
        secured.insert(name, (enabled, bound));
    }
    let sql = "SELECT tablename::text AS name, policyname::text AS policy, permissive = 'PERMISSIVE' AS permissive, \
           cmd, COALESCE(qual, '') AS qual, COALESCE(with_check, '') AS with_check, \
           roles && '{public,han_app}'::name[] AS for_app, roles && '{public,han_system}'::name[] AS for_system \
         FROM pg_policies WHERE schemaname = current_schema()";
    let mut policies: HashMap<String, Vec<Policy>> = HashMap::new();
    for row in tx.rows(sql, []).await? {
        policies.entry(row.try_get("", "name")?).or_default().push(Policy {
            name: row.try_get("", "policy")?,
            permissive: row.try_get("", "permissive")?,
            command: row.try_get("", "cmd")?,
            reads: row.try_get("", "qual")?,
            writes: row.try_get("", "with_check")?,
            for_app: row.try_get("", "for_app")?,
            for_system: row.try_get("", "for_system")?,
        });
    }
    let mut problems = Vec::new();
    for table in TENANT_TABLES {
        let (enabled, bound) = secured.get(*table).copied().unwrap_or_default();
        if !enabled {
            problems.push(format!("it is disabled on {table}"));
        } else if !bound {
            problems.push(format!("it does not bind han_app on {table}, which that role owns"));
        }
        let of_table = policies.get(*table).map_or(&[][..], Vec::as_slice);
        if !of_table.iter().any(Policy::binds_to_team) {
            problems.push(format!("the policy team of {table} is missing or was changed"));
        }
        if !of_table.iter().any(|policy| policy.for_system && policy.permissive && policy.command == "ALL") {
            problems.push(format!("the policy system of {table} is missing or was changed"));
        }
        let opening =
            of_table.iter().find(|policy| policy.for_app && policy.permissive && !policy.binds_to_team());
        if let Some(opening) = opening.filter(|opening| opening.name != "team") {
            problems.push(format!("the policy {} of {table} gives han_app more than one team", opening.name));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(DbError::Unprotected { problems }) }
}

/// A policy of row-level security.
struct Policy {
    name: String,
    permissive: bool,
    command: String,
    /// The condition on rows that are read.
    reads: String,
    /// The condition on rows that are written.
    writes: String,
    for_app: bool,
    for_system: bool,
}

impl Policy {
    /// Whether it shows the app role the rows of the transaction's team, and no others.
    fn binds_to_team(&self) -> bool {
        let names_team = |condition: &str| {
            condition.contains("(team = ") && condition.contains("han.team") && !condition.contains(" OR ")
        };
        self.for_app
            && self.permissive
            && self.command == "ALL"
            && names_team(&self.reads)
            && names_team(&self.writes)
    }
}

/// Whether a transaction of the app role is really bound by row-level security.
pub(super) async fn check_bound(db: &Db) -> Result<(), DbError> {
    for role in [Role::App, Role::System] {
        let tx = match db.read_as(role, "roles.check").await {
            Err(error) if error.is_denied() => {
                let reason = format!("the account may not take on the role {}", role.name());
                return Err(DbError::Privileges { reason, sql: roles_sql(&db.writer()).await? });
            }
            opened => opened?,
        };
        let rows = tx
            .rows(
                "SELECT current_user::text AS name, (rolsuper OR rolbypassrls) AS unbound \
                 FROM pg_roles WHERE rolname = current_user",
                [],
            )
            .await?;
        let missing = || DbError::RowMissing { table: "pg_roles", row: role.name().to_owned() };
        let row = rows.first().ok_or_else(missing)?;
        let (name, unbound): (String, bool) = (row.try_get("", "name")?, row.try_get("", "unbound")?);
        if unbound || name != role.name() {
            return Err(DbError::Privileges {
                reason: format!("transactions run as {name}, which row-level security does not bind"),
                sql: format!("ALTER ROLE {} NOSUPERUSER NOBYPASSRLS;", role.name()),
            });
        }
    }
    Ok(())
}
