//! Who may touch which table on PostgreSQL: roles, grants and row-level security. SQLite has none of it; there
//! every query's own condition on the team is the only protection.

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, Statement};

use crate::dialect::Role;
use crate::tables::{self, TENANT_TABLES};
use crate::{Db, DbError};

/// What an administrator must run where the program's account may not make roles.
const ROLES_SQL: &str = "CREATE ROLE han_app NOLOGIN;
CREATE ROLE han_system NOLOGIN;
GRANT han_app, han_system TO CURRENT_USER;  -- as, or to, the account in DATABASE_URL";

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
            return Err(DbError::Privileges { reason: err.to_string(), sql: ROLES_SQL.to_owned() });
        }
    }
    Ok(())
}

/// Waits for the lock under which migrations run; it is given back when the transaction ends.
pub(super) async fn lock(tx: &DatabaseTransaction, key: i64) -> Result<(), DbError> {
    let sql = "SELECT pg_advisory_xact_lock($1)";
    tx.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, [key.into()])).await?;
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
        GRANT SELECT ON SEQUENCE changes_seq_seq TO han_system;\n",
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
    for table in tables::system_tables() {
        sql.push_str(&format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO han_system;\n"));
    }
    // The check of new rows asks for the setting in a subquery, which runs once for each statement. As a plain expression
    // it would run for each row, which made an insert of many rows a third slower.
    for table in TENANT_TABLES {
        sql.push_str(&format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO han_app, han_system;\n\
             ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;\n\
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

/// Whether a transaction of the app role is really bound by row-level security.
pub(super) async fn check_bound(db: &Db) -> Result<(), DbError> {
    for role in [Role::App, Role::System] {
        let tx = db.read_as(role, "roles.check").await.map_err(|error| {
            if !error.is_denied() {
                return error;
            }
            let reason = format!("the account may not take on the role {}", role.name());
            DbError::Privileges { reason, sql: ROLES_SQL.to_owned() }
        })?;
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
