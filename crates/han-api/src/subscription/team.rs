//! `teamUpdated`: what of a team changes besides its sessions. Changes carry no content: clients fetch what they show.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, SimpleObject, Subscription};
use futures_util::stream::Stream;
use han_db::changes::{self, Action, DbChangeEvent, TeamChange};
use han_types::{GlobalId, TeamId};
use tokio::sync::broadcast;

use super::feed::{Feed, FeedEvent, Source, Wanted, until_error};
use crate::error::{ApiError, Result};

/// A part of a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(crate) enum TeamPart {
    /// Its name, plan, payments, settings or service accounts.
    Team,
    /// Its members and their roles.
    Members,
    /// Its invites.
    Invites,
    /// Its API keys.
    Keys,
    /// Work on everything that it has stored: a rotation of its keys, a conversion between plaintext and sealed, its
    /// deletion. Reported when it is requested, and when it is complete.
    Work,
}

impl From<changes::TeamPart> for TeamPart {
    fn from(part: changes::TeamPart) -> Self {
        match part {
            changes::TeamPart::Team => Self::Team,
            changes::TeamPart::Members => Self::Members,
            changes::TeamPart::Invites => Self::Invites,
            changes::TeamPart::Keys => Self::Keys,
            changes::TeamPart::Work => Self::Work,
        }
    }
}

/// A change of a team.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct TeamUpdatedPayload {
    /// The raw id of the team.
    team_id: String,
    /// What changed.
    part: TeamPart,
    /// `created`, `updated` or `deleted`.
    action: &'static str,
}

impl Wanted for Arc<TeamChange> {
    fn of(event: &DbChangeEvent) -> Option<(&TeamId, &Self)> {
        match event {
            DbChangeEvent::Team(change) => Some((&change.team_id, change)),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct TeamsSubscription {
    pub(super) changes: broadcast::Sender<DbChangeEvent>,
}

/// Teams.
#[Subscription]
impl TeamsSubscription {
    /// Changes of a team, its members, invites and API keys, and of work on what it has stored, for each of its members.
    /// `NOT_FOUND` for any other team than the one that the connection shows (`activeTeam`).
    async fn team_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The team's id, global or raw.")] team_id: ID,
    ) -> Result<impl Stream<Item = Result<TeamUpdatedPayload>> + use<>> {
        let feed = super::feed(&self.changes, ctx)?;
        if feed.team_id().is_none_or(|own| own.as_str() != GlobalId::raw("Team", &team_id)) {
            return Err(ApiError::NotFound("team: it is not the one of this connection"));
        }
        Ok(until_error(Updated(feed)))
    }
}

struct Updated(Feed);

impl Source for Updated {
    type Item = TeamUpdatedPayload;

    async fn next(&mut self) -> Result<Option<TeamUpdatedPayload>> {
        let event: Option<FeedEvent<Arc<TeamChange>>> = self.0.next().await?;
        match event {
            Some(FeedEvent::Changed(change)) => Ok(Some(TeamUpdatedPayload {
                team_id: change.team_id.to_string(),
                part: change.part.into(),
                action: match change.action {
                    Action::Insert => "created",
                    Action::Update => "updated",
                    Action::Delete => "deleted",
                },
            })),
            Some(FeedEvent::Missed) => Err(ApiError::Resync),
            None => Ok(None),
        }
    }
}
