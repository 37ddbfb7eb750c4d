//! Names for a team's data: the app role may not read `users`, only ask who the people of its team are.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Postgres {
            for statement in POSTGRES {
                manager.get_connection().execute_unprepared(statement).await?;
            }
        }
        Ok(())
    }
}

/// The owner's rights reach `users`; the condition, which names the transaction's own team, limits what they show:
/// members, and the owners of its sessions.
const POSTGRES: &[&str] = &[
    "CREATE FUNCTION han_people(ids text[])
        RETURNS TABLE (id text, username text, avatar_url text, email text, created_at bigint)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
        SELECT u.id, u.username, u.avatar_url, u.email, u.created_at FROM users u
        WHERE u.id = ANY(ids) AND (
            EXISTS (SELECT 1 FROM team_members m
                WHERE m.team_id = current_setting('han.team_id', true) AND m.user_id = u.id)
            OR EXISTS (SELECT 1 FROM sessions s
                WHERE s.team_id = current_setting('han.team_id', true) AND s.user_id = u.id))
    $$",
    "REVOKE ALL ON FUNCTION han_people(text[]) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION han_people(text[]) TO han_app",
];
