//! The lines of subagents in a session's own file, which agent versions up to 2.0.27 write there without an id: gives them
//! one, and finds the calls that started them. The lines of a file are read in the order of their ordinals, whether they
//! arrive or are derived again, so both give the same result.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use han_crypto::to_hex;
use han_transcript::fold::{Assigned, SidechainAssignment, StartingCall, is_inline};
use han_transcript::record::ResultKind;
use han_types::TranscriptName;
use sea_orm::FromQueryResult;

use super::derive::{Derive, NewLine};
use crate::DbError;
use crate::bulk_insert::{BulkInsert, Column};
use crate::line_id::{INLINE_PREFIX, LineId, call_key};
use crate::queries::tool_results::RowKind;

/// The maximum number of calls without a subagent that are considered: the latest ones.
const MAX_CALLS: usize = 1000;

#[derive(FromQueryResult)]
struct ParentRow {
    uuid: Vec<u8>,
    uuid_text: Option<String>,
    agent_id: Option<String>,
}

#[derive(FromQueryResult)]
struct AgentRow {
    agent_id: Option<String>,
}

#[derive(FromQueryResult)]
struct CallRow {
    ordinal: i32,
    n: i16,
    call: Vec<u8>,
    prompt: Vec<u8>,
    answer: Option<i32>,
    results: i64,
}

/// A call that may start a subagent.
#[derive(Clone)]
struct Call {
    ordinal: i64,
    n: i64,
    key: Vec<u8>,
}

impl Derive<'_> {
    /// Stores the calls that may start subagents, and assigns the lines of subagents without ids.
    pub(super) async fn sidechains(&self, new: &[NewLine<'_>]) -> Result<(), DbError> {
        let own: Vec<&NewLine<'_>> =
            new.iter().filter(|line| line.transcript == TranscriptName::MAIN).collect();
        let makes_call =
            |line: &&&NewLine<'_>| !is_inline(line.record) && !line.record.subagent_calls.is_empty();
        let calls: Vec<(&NewLine<'_>, usize)> = own
            .iter()
            .filter(makes_call)
            .flat_map(|line| (0..line.record.subagent_calls.len()).map(move |n| (*line, n)))
            .collect();
        let mut agents: BTreeMap<(i64, i64), String> = BTreeMap::new();
        if own.iter().any(|line| is_inline(line.record)) {
            agents = self.assign(&own).await?;
        }
        let of_call = |(line, n): &(&NewLine<'_>, usize)| line.record.subagent_calls[*n].clone();
        let insert = BulkInsert {
            table: "subagent_calls",
            constants: self.constants(),
            columns: vec![
                Column::Int("ordinal", calls.iter().map(|(line, _)| line.ordinal).collect()),
                Column::Int("n", calls.iter().map(|(_, n)| *n as i64).collect()),
                Column::Key("call", calls.iter().map(|call| call_key(&of_call(call).call_id)).collect()),
                Column::Key(
                    "prompt",
                    calls.iter().map(|call| self.prompt_key(of_call(call).prompt)).collect(),
                ),
                Column::NullableInt(
                    "answer",
                    calls.iter().map(|(line, _)| line.record.answer.map(i64::from)).collect(),
                ),
                Column::NullableStr(
                    "agent_id",
                    calls
                        .iter()
                        .map(|(line, n)| agents.get(&(line.ordinal, *n as i64)).map(String::as_str))
                        .collect(),
                ),
            ],
            // The key contains the line, which is new.
            on_conflict: "",
            returning: "",
        };
        insert.run(self.tx).await?;
        Ok(())
    }

    /// Assigns the lines of subagents among lines of the session's own file; returns the subagents of the calls.
    async fn assign(&self, own: &[&NewLine<'_>]) -> Result<BTreeMap<(i64, i64), String>, DbError> {
        let first = own.first().map_or(0, |line| line.ordinal);
        let transcript = own.first().map_or(0, |line| line.transcript_number);
        let mut assignment = SidechainAssignment::resume(
            self.roots_of_parents(own, transcript).await?,
            self.last_root(first, transcript).await?,
            self.calls_without_subagent(first, transcript).await?,
        );
        let mut lines: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
        let mut started: Vec<(Call, String)> = Vec::new();
        for line in own {
            if !is_inline(line.record) {
                for result in line.record.results.iter().filter(|result| result.kind == ResultKind::Tool) {
                    let answered = result.call_id.as_deref().map(call_key);
                    assignment.end(|call| answered.is_some_and(|answered| call.key == answered));
                }
                for (n, call) in (0..).zip(&line.record.subagent_calls) {
                    let key = call_key(&call.call_id).to_vec();
                    assignment.add_call(StartingCall {
                        call: Call { ordinal: line.ordinal, n, key },
                        prompt: self.prompt_key(call.prompt),
                        answer: line.record.answer,
                        is_open: true,
                    });
                }
                continue;
            }
            let Assigned { root, started_by } =
                assignment.add_line(line.record, line.record.prompt.map(|prompt| self.prompt_key(prompt)));
            let agent_id = format!("{INLINE_PREFIX}{root}");
            started.extend(started_by.map(|call| (call, agent_id.clone())));
            lines.entry(agent_id).or_default().insert(line.ordinal);
        }
        let dialect = self.tx.dialect();
        for (agent_id, ordinals) in lines {
            let sql = format!(
                "UPDATE messages SET agent_id = $3 WHERE team = $1 AND session = $2 AND {}",
                dialect.is_any("ordinal", 4)
            );
            let values = [self.tx.team(), self.number.into(), agent_id.into(), dialect.number_list(ordinals)];
            self.tx.execute(&sql, values).await?;
        }
        for (call, agent_id) in &started {
            // A call that is not stored yet is stored with its subagent.
            let sql = "UPDATE subagent_calls SET agent_id = $5 WHERE team = $1 AND session = $2 AND ordinal = $3 AND n = $4";
            let values = [
                self.tx.team(),
                self.number.into(),
                call.ordinal.into(),
                call.n.into(),
                agent_id.as_str().into(),
            ];
            self.tx.execute(sql, values).await?;
        }
        Ok(started.into_iter().map(|(call, agent_id)| ((call.ordinal, call.n), agent_id)).collect())
    }

    /// The key of a prompt as it is stored. A prompt is content: a hash of it must be keyed.
    fn prompt_key(&self, prompt: [u8; 16]) -> [u8; 16] {
        call_key(&self.keys.label_id(&to_hex(&prompt)))
    }

    /// The roots of the subagents of lines that these lines follow, by the uuids of those.
    async fn roots_of_parents(
        &self,
        own: &[&NewLine<'_>],
        transcript: i64,
    ) -> Result<HashMap<String, String>, DbError> {
        let parents: BTreeSet<&str> = own
            .iter()
            .filter(|line| is_inline(line.record))
            .filter_map(|line| line.record.parent_uuid.as_deref())
            .collect();
        let dialect = self.tx.dialect();
        let sql = dialect.find_each(
            &[dialect.bytes_from("wanted", 4)],
            "messages",
            "uuid, uuid_text, agent_id",
            "team = $1 AND session = $2 AND transcript = $3 AND uuid = wanted.key",
        );
        let ids = parents.iter().map(|parent| LineId::of(parent).bytes);
        let values = [self.tx.team(), self.number.into(), transcript.into(), dialect.byte_list(ids)];
        let rows: Vec<ParentRow> = self.tx.all(&sql, values).await?;
        let root = |row: ParentRow| {
            let root = row.agent_id.as_deref()?.strip_prefix(INLINE_PREFIX)?.to_owned();
            Some((LineId::to_text(&row.uuid, row.uuid_text), root))
        };
        Ok(rows.into_iter().filter_map(root).collect())
    }

    /// The root of the subagent that started last before a line.
    async fn last_root(&self, ordinal: i64, transcript: i64) -> Result<Option<String>, DbError> {
        let sql = "SELECT agent_id FROM messages WHERE team = $1 AND session = $2 AND ordinal < $3 AND transcript = $4 \
                   AND agent_id LIKE $5 ORDER BY ordinal DESC LIMIT 1";
        let values = [
            self.tx.team(),
            self.number.into(),
            ordinal.into(),
            transcript.into(),
            format!("{INLINE_PREFIX}%").into(),
        ];
        let row: Option<AgentRow> = self.tx.one(sql, values).await?;
        let agent = row.and_then(|row| row.agent_id);
        Ok(agent.and_then(|agent| agent.strip_prefix(INLINE_PREFIX).map(str::to_owned)))
    }

    /// The calls before a line that have no subagent.
    async fn calls_without_subagent(
        &self,
        ordinal: i64,
        transcript: i64,
    ) -> Result<Vec<StartingCall<Call>>, DbError> {
        let sql = format!(
            "SELECT c.ordinal, c.n, c.call, c.prompt, c.answer, (SELECT count(*) FROM tool_results r \
               JOIN messages m ON m.team = r.team AND m.session = r.session AND m.ordinal = r.ordinal \
               WHERE r.team = c.team AND r.session = c.session AND r.kind = $3 AND r.call = c.call \
                 AND r.ordinal > c.ordinal AND r.ordinal < $4 AND m.transcript = $5) AS results \
             FROM subagent_calls c WHERE c.team = $1 AND c.session = $2 AND c.ordinal < $4 \
             AND c.agent_id IS NULL ORDER BY c.ordinal DESC, c.n DESC LIMIT {MAX_CALLS}"
        );
        let values = [
            self.tx.team(),
            self.number.into(),
            RowKind::ToolResult.code().into(),
            ordinal.into(),
            transcript.into(),
        ];
        let rows: Vec<CallRow> = self.tx.all(&sql, values).await?;
        let call = |row: CallRow| {
            let prompt = <[u8; 16]>::try_from(row.prompt.as_slice())
                .map_err(|_| DbError::malformed("subagent_calls", "prompt", row.ordinal))?;
            Ok(StartingCall {
                call: Call { ordinal: row.ordinal.into(), n: row.n.into(), key: row.call },
                prompt,
                answer: row.answer,
                is_open: row.results == 0,
            })
        };
        rows.into_iter().rev().map(call).collect()
    }
}
