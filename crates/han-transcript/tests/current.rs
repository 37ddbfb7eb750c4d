//! Tests the lines of current agent versions: what a person typed while the agent works, titles, notices, the cause of
//! errors, thinking without text, and subagents in the session's own file.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

use han_transcript::MessageKind;
use han_transcript::fold::{InlineSidechain, LinePosition, SessionTotals, inline_sidechains};
use han_transcript::record::{LineContext, LineRecord, TimeSource, TitleSource, project};
use han_transcript::view::{Block, MessageView, search_text, view};
use han_types::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

const AT: LineContext<'static> = LineContext { session_id: "session", transcript: "main" };

fn read(line: &Value) -> LineRecord {
    project(&line.to_string(), &AT)
}

fn queued(attachment: Value) -> Value {
    let mut line = json!({"type": "attachment", "uuid": "q", "isSidechain": false, "attachment": {"type": "queued_command"}});
    line["attachment"].as_object_mut().unwrap().extend(attachment.as_object().unwrap().clone());
    line
}

/// The text of a user message.
fn content(line: &Value) -> Option<String> {
    match view(&line.to_string()) {
        MessageView::RegularUser(user) | MessageView::MetaUser(user) => user.content,
        MessageView::CommandUser(command) => command.user.content,
        other => panic!("no user message: {other:?}"),
    }
}

/// Subtype and text of a notice.
fn notice(line: &Value) -> (Option<String>, Option<String>) {
    match view(&line.to_string()) {
        MessageView::System(notice) => {
            assert_eq!(read(line).subtype, notice.subtype);
            (notice.subtype, notice.content)
        }
        other => panic!("no notice: {other:?}"),
    }
}

#[test]
fn a_queued_prompt_is_a_message_and_a_turn_of_the_person() {
    let blocks = json!([{"type": "text", "text": "look at this"}, {"type": "image", "source": {}}]);
    for (attachment, kind, text) in [
        (json!({"prompt": "rename it"}), MessageKind::RegularUser, "rename it"),
        (json!({"prompt": "rename it", "commandMode": "prompt"}), MessageKind::RegularUser, "rename it"),
        (json!({"prompt": blocks, "origin": {"kind": "human"}}), MessageKind::RegularUser, "look at this"),
        (
            json!({"prompt": "ls", "commandMode": "bash"}),
            MessageKind::RegularUser,
            "<bash-input>ls</bash-input>",
        ),
        (json!({"prompt": ["rename it"]}), MessageKind::RegularUser, "rename it"),
        (json!({"prompt": {"type": "text", "text": "rename it"}}), MessageKind::RegularUser, "rename it"),
        (json!({"prompt": "rename it", "origin": "human"}), MessageKind::RegularUser, "rename it"),
        (
            json!({"prompt": "<command-name>/x</command-name>"}),
            MessageKind::CommandUser,
            "<command-name>/x</command-name>",
        ),
    ] {
        let line = queued(attachment);
        let record = read(&line);
        assert_eq!((record.kind, record.turn), (kind, true), "{line}");
        assert_eq!(content(&line).as_deref(), Some(text));
        assert!(search_text(&line.to_string(), 1000).contains(text), "{line}");
    }
}

#[test]
fn what_others_queue_is_no_turn() {
    for attachment in [
        json!({"prompt": "done", "origin": {"kind": "peer"}}),
        json!({"prompt": "done", "origin": {"kind": "coordinator"}}),
        json!({"prompt": "done", "origin": "peer"}),
        json!({"prompt": "<teammate-message teammate_id=\"a\">done</teammate-message>"}),
        json!({"prompt": "<system-reminder>done</system-reminder>"}),
        json!({"prompt": "done", "isMeta": true}),
        json!({"prompt": "<task-notification>", "commandMode": "task-notification"}),
        json!({}),
    ] {
        let line = queued(attachment);
        assert!(!read(&line).turn, "{line}");
    }
    assert!(!read(&queued(json!({"prompt": "<task-notification>x</task-notification>"}))).turn);
    let mut of_subagent = queued(json!({"prompt": "rename it"}));
    of_subagent["isSidechain"] = true.into();
    assert!(!read(&of_subagent).turn);
}

#[test]
fn local_commands_and_shell_commands_are_turns_and_their_output_is_none() {
    let local = |content: &str| json!({"type": "system", "uuid": "l", "subtype": "local_command", "content": content});
    let user = |content: &str| json!({"type": "user", "uuid": "u", "message": {"content": content}});
    let command = "<command-name>/model</command-name>\n<command-args>opus</command-args>";
    let record = read(&local(command));
    assert_eq!((record.kind, record.turn), (MessageKind::CommandUser, true));
    assert_eq!(record.summary.unwrap().text, "/model opus");
    for line in [user("<bash-input>ls -l</bash-input>"), local("<bash-input>ls -l</bash-input>")] {
        let record = read(&line);
        assert_eq!((record.kind, record.turn), (MessageKind::RegularUser, true));
        assert_eq!(record.summary.unwrap().text, "! ls -l");
    }
    for output in ["<local-command-stdout>done</local-command-stdout>", "<bash-stdout>done</bash-stdout>"] {
        assert!(!read(&user(output)).turn);
        let line = local(output);
        assert!(!read(&line).turn);
        assert_eq!(notice(&line), (Some("local_command".to_owned()), Some("done".to_owned())));
    }
}

fn user(content: Value) -> Value {
    json!({"type": "user", "uuid": "u", "message": {"role": "user", "content": content}})
}

#[test]
fn what_the_harness_inserts_around_a_prompt_is_not_the_prompt() {
    let reminder = "<system-reminder>\nThe file was changed.\n</system-reminder>";
    let block = |text: &str| json!({"type": "text", "text": text});
    let command = "<command-name>/model</command-name>\n<command-args>opus</command-args>";
    for (inserted, typed, summary) in [
        (json!(format!("{reminder}\n\nwhy is it red?")), "why is it red?", "why is it red?"),
        (json!(format!("{reminder}{reminder}why is it red?")), "why is it red?", "why is it red?"),
        (json!(format!("why is it red?\n{reminder}\n\n{reminder}\n")), "why is it red?", "why is it red?"),
        (json!([block(reminder), block("why is it red?")]), "why is it red?", "why is it red?"),
        (json!([block("why is it red?"), block(reminder)]), "why is it red?", "why is it red?"),
        (json!([block(&format!("{reminder}\nwhy?")), block("really")]), "why?\nreally", "why? really"),
        (json!([reminder, "why is it red?"]), "why is it red?", "why is it red?"),
        (
            json!([block("<ide_opened_file>a.rs</ide_opened_file>"), block("why is it red?")]),
            "why is it red?",
            "why is it red?",
        ),
        (json!(format!("{reminder}\n{command}")), command, "/model opus"),
        (json!(format!("{reminder}\n<bash-input>ls</bash-input>")), "<bash-input>ls</bash-input>", "! ls"),
    ] {
        let line = user(inserted);
        let record = read(&line);
        assert!(record.turn, "{line}");
        assert_eq!(record.summary.unwrap().text, summary, "{line}");
        assert_eq!(content(&line).as_deref(), Some(typed), "{line}");
        let shown = match view(&line.to_string()) {
            MessageView::RegularUser(user) => format!("{:?}", user.content_blocks),
            MessageView::CommandUser(command) => format!("{:?}", command.user.content_blocks),
            other => panic!("no prompt: {other:?}"),
        };
        assert!(!shown.contains("changed") && !shown.contains("a.rs"), "{shown}");
        // It can still be found.
        assert!(search_text(&line.to_string(), 1000).contains(typed.lines().next().unwrap()));
    }
    for quote in [
        "what is <system-reminder>x</system-reminder>?",
        " a prompt \n",
        "see <system-reminder>x</system-reminder>",
    ] {
        let line = user(json!(quote));
        assert!(read(&line).turn);
        assert_eq!(content(&line).as_deref(), Some(quote), "a quote, and white space, are kept");
    }
    for inserted in [
        json!(reminder),
        json!([block(reminder), block(reminder)]),
        json!("<system-reminder>without an end"),
        json!("<ide_opened_file>a.rs</ide_opened_file>"),
    ] {
        let record = read(&user(inserted.clone()));
        assert_eq!((record.kind, record.turn), (MessageKind::MetaUser, false), "{inserted}");
        assert_eq!(record.summary, None);
        assert!(content(&user(inserted)).is_some_and(|text| !text.is_empty()), "it is displayed as such");
    }
    let result = json!({"type": "tool_result", "tool_use_id": "c", "content": "r"});
    assert_eq!(read(&user(json!([result, block(reminder)]))).kind, MessageKind::ToolResultUser);
    let record = read(&user(json!([result, block("and why?"), block(reminder)])));
    assert_eq!((record.kind, record.turn), (MessageKind::RegularUser, true));
    assert_eq!(record.summary.unwrap().text, "and why?");
}

#[test]
fn what_others_than_a_person_send_is_no_turn() {
    let of = |origin: Value| {
        let mut line = user(json!("hello"));
        line["origin"] = origin;
        read(&line)
    };
    for origin in
        [json!({"kind": "peer"}), json!({"kind": "channel"}), json!("peer"), json!("task-notification")]
    {
        let record = of(origin.clone());
        assert_eq!((record.kind, record.turn), (MessageKind::MetaUser, false), "{origin}");
        assert_eq!(record.summary, None);
    }
    for origin in [json!({"kind": "human"}), json!("human"), json!(null), json!({}), json!(7)] {
        assert!(of(origin.clone()).turn, "{origin}");
    }
    let teammate = user(json!("<teammate-message teammate_id=\"lead\">do it</teammate-message>"));
    assert_eq!((read(&teammate).kind, read(&teammate).turn), (MessageKind::MetaUser, false));
}

#[test]
fn a_prompt_of_an_attached_file_is_a_turn() {
    let source = json!({"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"});
    let text = json!({"type": "text", "media_type": "text/plain", "data": "the quarterly numbers"});
    for (document, shown) in [
        (json!({"type": "document", "source": source}), "[document: application/pdf]"),
        (json!({"type": "document", "title": "plan.pdf", "source": source}), "[document: plan.pdf]"),
        (
            json!({"type": "document", "title": "n.txt", "source": text}),
            "[document: n.txt]\n\nthe quarterly numbers",
        ),
        (json!({"type": "document"}), "[document]"),
    ] {
        for line in [user(json!([document])), queued(json!({"prompt": [document]}))] {
            let record = read(&line);
            assert_eq!((record.kind, record.turn), (MessageKind::RegularUser, true), "{line}");
            let MessageView::RegularUser(user) = view(&line.to_string()) else { panic!("{line}") };
            assert_eq!(user.content_blocks, [Block::Text { text: shown.to_owned() }]);
        }
    }
    let line = user(json!([{"type": "document", "title": "n.txt", "source": text}]));
    assert_eq!(search_text(&line.to_string(), 100), "n.txt\nthe quarterly numbers");
    assert!(read(&user(json!([{"type": "image", "source": {}}]))).turn);
    assert!(!read(&user(json!([]))).turn);
}

#[test]
fn a_time_before_there_were_agents_is_none() {
    for (time, is_time) in [
        ("1970-01-01T00:00:00.000Z", false),
        ("2019-12-31T23:59:59.999Z", false),
        ("2020-01-01T00:00:00.000Z", true),
        ("2026-11-20T09:00:00.000Z", true),
    ] {
        let mut line = user(json!("hello"));
        line["timestamp"] = json!(time);
        assert_eq!(matches!(read(&line).time, TimeSource::Own(_)), is_time, "{time}");
        assert_eq!(view(&line.to_string()).head().timestamp.is_some(), is_time, "{time}");
        let snapshot = json!({"type": "file-history-snapshot", "snapshot": {"timestamp": time}});
        assert_eq!(matches!(read(&snapshot).time, TimeSource::Own(_)), is_time, "{time}");
    }
}

#[test]
fn a_worktree_is_named_by_the_line_about_it() {
    let state = |worktree: Value| {
        let record = read(&json!({"type": "worktree-state", "sessionId": "s", "worktreeSession": worktree}));
        (record.worktree, record.git_branch)
    };
    let named = |name: &str, branch: Option<&str>| (Some(name.to_owned()), branch.map(str::to_owned));
    let path = "/home/ana/shop/.claude/worktrees/fix-login";
    assert_eq!(
        state(json!({"worktreePath": path, "worktreeName": "login", "worktreeBranch": "worktree-login"})),
        named("login", Some("worktree-login"))
    );
    assert_eq!(state(json!({"worktreePath": path})), named("fix-login", None));
    assert_eq!(state(json!({"path": "/tmp/try", "branch": "b"})), named("try", Some("b")));
    for none in [json!(null), json!({}), json!("x")] {
        assert_eq!(state(none), (None, None));
    }
    assert_eq!(read(&user(json!("x"))).worktree, None);
}

#[test]
fn notices_are_displayed_by_their_content() {
    for (line, subtype, text) in [
        (json!({"type": "mode", "mode": "normal", "sessionId": "s"}), "mode", "normal"),
        (json!({"type": "permission-mode", "permissionMode": "plan"}), "permission-mode", "plan"),
        (json!({"type": "last-prompt", "lastPrompt": "do it", "leafUuid": "x"}), "last-prompt", "do it"),
        (json!({"type": "custom-title", "customTitle": "auth"}), "custom-title", "auth"),
        (
            json!({"type": "pr-link", "prNumber": 1, "prUrl": "https://x/pull/1"}),
            "pr-link",
            "https://x/pull/1",
        ),
        (json!({"type": "continued-in", "continuedInSessionId": "b"}), "continued-in", "b"),
        (
            json!({"type": "worktree-state", "worktreeSession": {"worktreePath": "/w"}}),
            "worktree-state",
            "/w",
        ),
        (json!({"type": "worktree-state", "worktreeSession": null}), "worktree-state", "left the worktree"),
        (
            json!({"type": "attachment", "attachment": {"type": "hook_success", "hookName": "Stop", "stdout": "ok"}}),
            "hook_success",
            "Stop\nok",
        ),
        (
            json!({"type": "attachment", "attachment": {"type": "file", "content": {"file": {"content": "text"}}}}),
            "file",
            "file\ntext",
        ),
        (json!({"type": "system", "subtype": "informational", "content": "hi"}), "informational", "hi"),
        (
            json!({"type": "system", "subtype": "stop_hook_summary", "hookErrors": ["it failed"], "level": "x"}),
            "stop_hook_summary",
            "it failed",
        ),
    ] {
        let (found_subtype, found) = notice(&line);
        assert_eq!(found_subtype.as_deref(), Some(subtype), "{line}");
        assert!(text.ends_with(found.as_deref().unwrap()), "{line} shows {found:?}");
        assert!(search_text(&line.to_string(), 1000).contains(&found.unwrap()), "{line}");
    }
    assert_eq!(notice(&json!({"type": "mode", "sessionId": "s"})).1, None);
}

#[test]
fn an_api_error_displays_its_cause() {
    let error = |fields: Value| {
        let mut line = json!({"type": "system", "subtype": "api_error", "level": "error"});
        line.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        notice(&line).1.unwrap_or_default()
    };
    let overloaded = json!({"status": 529, "headers": {"date": "x"}, "requestID": null, "error":
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}});
    assert_eq!(
        error(json!({"error": overloaded, "retryAttempt": 2, "maxRetries": 10})),
        "529 overloaded_error Overloaded (attempt 2 of 10)"
    );
    assert_eq!(
        error(json!({"cause": {"code": "ConnectionRefused", "path": "https://x", "errno": 0}, "error": {}})),
        "ConnectionRefused"
    );
    assert_eq!(error(json!({"error": "no network"})), "no network");
    assert_eq!(error(json!({"error": {"status": 429, "error": "rate limited"}})), "429 rate limited");
    assert_eq!(
        error(json!({"error": {"status": 429, "error": {"error": "rate limited"}}})),
        "429 rate limited"
    );
    assert_eq!(error(json!({"cause": "timeout", "error": {"status": 500}})), "500 timeout");
    assert_eq!(error(json!({"error": {"type": "x", "detail": "no credit"}})), "x no credit");
}

#[test]
fn a_title_of_a_person_takes_precedence() {
    let line = |kind: &str, field: &str, title: &str| json!({"type": kind, field: title, "sessionId": AT.session_id});
    let lines = [
        line("ai-title", "aiTitle", "Title of the agent"),
        line("custom-title", "customTitle", "auth"),
        line("custom-title", "customTitle", " auth-2 "),
        line("agent-name", "agentName", "reviewer"),
        line("ai-title", "aiTitle", "Title of the agent 2"),
    ];
    let titles = |lines: &[(usize, &Value)]| {
        let mut totals = SessionTotals::default();
        for (number, line) in lines {
            let position =
                LinePosition { time: Timestamp(0), transcript: "main".to_owned(), line: *number as u64 };
            totals.add(&position, &read(line));
        }
        totals.title().map(str::to_owned)
    };
    let mut numbered: Vec<_> = lines.iter().enumerate().collect();
    assert_eq!(titles(&numbered).as_deref(), Some("auth-2"));
    numbered.reverse();
    assert_eq!(titles(&numbered).as_deref(), Some("auth-2"), "in any order");
    assert_eq!(titles(&numbered[..1]).as_deref(), Some("Title of the agent 2"));
    assert_eq!(read(&lines[1]).title.unwrap().source, TitleSource::Person);
    assert_eq!(titles(&[]), None);
    // A title of another session counts only if the session has none of its own.
    let copied = json!({"type": "custom-title", "customTitle": "of another", "sessionId": "another"});
    assert_eq!(titles(&[(9, &copied)]).as_deref(), Some("of another"));
    assert_eq!(titles(&[(0, &lines[0]), (9, &copied)]).as_deref(), Some("Title of the agent"));
}

#[test]
fn a_command_names_a_session_only_without_a_prompt() {
    let command = "<command-name>/clear</command-name>\n<command-args></command-args>";
    let line =
        |text: &str| json!({"type": "user", "uuid": text, "message": {"role": "user", "content": text}});
    let lines = [line(command), line("<tick>12</tick>"), line("write the notes"), line("and then")];
    let mut totals = SessionTotals::default();
    let mut summaries = Vec::new();
    for (number, line) in (0u64..).zip(&lines) {
        let position = LinePosition { time: Timestamp(0), transcript: "main".to_owned(), line: number };
        totals.add(&position, &read(line));
        summaries.push(totals.summary().map(str::trim).map(str::to_owned));
    }
    let expected = ["/clear", "/clear", "write the notes", "write the notes"];
    assert_eq!(summaries, expected.map(|text| Some(text.to_owned())));
}

#[test]
fn a_message_of_another_agent_session_or_program_is_no_turn() {
    let line = |text: &str| {
        read(&json!({"type": "user", "uuid": text, "message": {"role": "user", "content": text}}))
    };
    for sent in [
        "<teammate-message from=\"b\">hello</teammate-message>",
        "<agent-message>hello</agent-message>",
        "<cross-session-message from=\"s\">hello</cross-session-message>",
        "<channel source=\"chat\">hello</channel>",
        "<channel  source=\"chat\">hello</channel>",
    ] {
        let record = line(sent);
        assert!(!record.turn && record.summary.is_none(), "{sent}");
    }
    for typed in ["<channel>1</channel>", "<channels source=\"x\"/>", "a <channel source=\"x\">"] {
        assert!(line(typed).turn, "{typed}");
    }
}

#[test]
fn a_fork_without_request_ids_repeats_the_same_answers() {
    let answer = |session: &str, id: &str| {
        json!({"type": "assistant", "uuid": "u1", "sessionId": session, "message": {"role": "assistant", "id": id,
            "model": "m", "content": [], "usage": {"input_tokens": 7, "output_tokens": 9}}})
    };
    let key = |line: &Value| read(line).usage.unwrap().answer_key();
    assert_eq!(key(&answer("a", "msg_1")), key(&answer("b", "msg_1")));
    assert_ne!(key(&answer("a", "msg_1")), key(&answer("a", "msg_2")));
    let mut other = answer("a", "msg_1");
    other["uuid"] = json!("u2");
    assert_ne!(key(&answer("a", "msg_1")), key(&other), "some gateways give all answers one id");
}

#[test]
fn a_whole_record_after_one_that_was_cut_before_its_session_is_read() {
    let whole =
        r#"{"type":"user","uuid":"w","sessionId":"session","message":{"role":"user","content":"hello"}}"#;
    for cut in [
        r#"{"type":"file-history-snapshot","messageId":"m","snapshot":"#,
        r#"{"type":"attachment","attachment":"#,
        r#"{"type":"user","toolUseResult":"#,
        r#"{"type":"progress","data":"#,
    ] {
        let line = format!("{cut}{whole}");
        let records = han_transcript::split::record_texts(&line);
        assert_eq!(records, [whole], "{cut}");
        let of_another = format!(r#"{{"sessionId":"other",{}{whole}"#, &cut[1..]);
        assert_ne!(han_transcript::split::record_texts(&of_another), [whole], "{cut}");
    }
}

#[test]
fn an_answer_of_thinking_without_text_is_not_listed() {
    let answer = |content: Value| json!({"type": "assistant", "uuid": "a", "message": {"id": "m", "content": content, "usage": {"output_tokens": 5}}});
    let empty = json!({"type": "thinking", "thinking": "", "signature": "c2ln"});
    let record = read(&answer(json!([empty])));
    assert!(record.nests && record.usage.is_some());
    for content in [
        json!([empty, {"type": "text", "text": "hello"}]),
        json!([{"type": "thinking", "thinking": "hm", "signature": ""}]),
        json!([{"type": "redacted_thinking", "data": "x"}]),
        json!([]),
        json!(""),
    ] {
        assert!(!read(&answer(content.clone())).nests, "{content}");
    }
}

#[test]
fn other_models_inside_an_answer_and_searches_count_once() {
    let answer = |uuid: &str, output: i64, advice: Option<i64>| {
        let mut usage = json!({"input_tokens": 2, "output_tokens": output,
            "server_tool_use": {"web_search_requests": output / 100}});
        if let Some(advice) = advice {
            usage["iterations"] = json!([{"type": "message", "input_tokens": 2, "output_tokens": output},
                {"type": "advisor_message", "model": "adviser", "input_tokens": 159_419, "output_tokens": advice}]);
        }
        json!({"type": "assistant", "uuid": uuid, "requestId": "r",
               "message": {"id": "m", "model": "main", "usage": usage}})
    };
    let search = json!({"type": "user", "uuid": "s", "toolUseResult": {"query": "q", "searchCount": 4}, "message":
        {"content": [{"type": "tool_result", "tool_use_id": "t", "content": "found"}]}});
    let lines = [answer("a", 10, None), answer("b", 491, Some(7000)), search, answer("c", 491, Some(7805))];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        let mut totals = SessionTotals::default();
        for number in order {
            let position =
                LinePosition { time: Timestamp(0), transcript: "main".to_owned(), line: number as u64 };
            totals.add(&position, &read(&lines[number]));
        }
        let tokens = totals.tokens();
        assert_eq!((tokens.input, tokens.output), (2 + 159_419, 491 + 7805));
        let by_model = totals.tokens_by_model();
        assert_eq!(by_model[&Some("adviser")].output, 7805);
        assert_eq!(totals.web_searches(), 4 + 4);
    }
}

#[test]
fn the_split_of_cache_writes_counts_if_the_total_is_zero() {
    let split = json!({"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20});
    let line = json!({"type": "assistant", "uuid": "a", "message":
        {"usage": {"cache_creation_input_tokens": 0, "cache_creation": split}}});
    let usage = read(&line).usage.unwrap();
    assert_eq!((usage.cache_creation_5m, usage.cache_creation_1h), (10, 20));
}

proptest! {
    #[test]
    fn cache_writes_have_the_largest_total_of_all_lines(
        lines in prop::collection::vec((0i64..100, 0i64..100, 0u8..3), 1..5),
        order in any::<prop::sample::Index>(),
    ) {
        let usages: Vec<Value> = lines.iter().map(|(five, hour, shape)| match shape {
            0 => json!({"cache_creation_input_tokens": five + hour}),
            1 => json!({"cache_creation_input_tokens": 0, "cache_creation":
                        {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}}),
            _ => json!({"cache_creation_input_tokens": five + hour, "cache_creation":
                        {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}}),
        }).collect();
        let mut all: Vec<_> = usages.iter().map(|usage| {
            let line = json!({"type": "assistant", "uuid": "a", "requestId": "r", "message": {"id": "m", "usage": usage}});
            read(&line).usage.unwrap()
        }).collect();
        let largest = lines.iter().map(|(five, hour, _)| five + hour).max().unwrap();
        let hours = lines.iter().filter(|line| line.2 > 0).map(|line| line.1).max().unwrap_or(0);
        let middle = order.index(all.len());
        all.rotate_left(middle);
        let mut merged = all[0].clone();
        all.iter().for_each(|usage| merged.merge(usage));
        prop_assert_eq!((merged.cache_creation(), merged.cache_creation_1h), (largest, hours));
    }
}

fn task(uuid: &str, calls: &[(&str, &str)]) -> Value {
    let uses: Vec<Value> = calls
        .iter()
        .map(|(call, prompt)| json!({"type": "tool_use", "id": call, "name": "Task", "input": {"prompt": prompt}}))
        .collect();
    json!({"type": "assistant", "uuid": uuid, "message": {"content": uses}})
}

fn side(kind: &str, uuid: &str, parent: Option<&str>, content: Value) -> Value {
    json!({"type": kind, "uuid": uuid, "parentUuid": parent, "isSidechain": true, "message": {"content": content}})
}

fn sidechains(lines: &[Value], order: &[usize]) -> Vec<InlineSidechain> {
    let records: Vec<_> = order
        .iter()
        .map(|&number| {
            let position =
                LinePosition { time: Timestamp(0), transcript: "main".to_owned(), line: number as u64 };
            (position, read(&lines[number]))
        })
        .collect();
    inline_sidechains(records.iter().map(|(at, record)| (at, record)))
}

fn parallel() -> Vec<Value> {
    let result = json!([{"type": "tool_result", "tool_use_id": "x", "content": "r"}]);
    vec![
        task("m", &[("c1", "look for it"), ("c2", "count them")]),
        side("user", "b1", None, json!("count them")),
        side("user", "a1", None, json!([{"type": "text", "text": "look for it"}])),
        side("assistant", "b2", Some("b1"), json!("counting")),
        side("assistant", "a2", Some("a1"), json!("looking")),
        side("user", "b3", Some("b2"), result),
        side("assistant", "b4", Some("b3"), json!("three")),
    ]
}

#[test]
fn sidechains_in_the_main_file_belong_to_the_calls_that_started_them() {
    let chain = |root: &str, call: Option<&str>, lines: &[&str]| InlineSidechain {
        root: root.to_owned(),
        call_id: call.map(str::to_owned),
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
    };
    let lines = parallel();
    let expected =
        [chain("b1", Some("c2"), &["b1", "b2", "b3", "b4"]), chain("a1", Some("c1"), &["a1", "a2"])];
    assert_eq!(sidechains(&lines, &[0, 1, 2, 3, 4, 5, 6]), expected);
    // Without parents, lines follow the subagent that started last; without the same prompt, it is the latest call's.
    let lines = [
        task("m", &[("c1", "one")]),
        side("user", "a1", None, json!("another text")),
        side("assistant", "a2", None, json!("looking")),
        side("user", "z1", None, json!("without a call")),
    ];
    let expected = [chain("a1", Some("c1"), &["a1", "a2"]), chain("z1", None, &["z1"])];
    assert_eq!(sidechains(&lines, &[0, 1, 2, 3]), expected);
    assert_eq!(sidechains(&[json!({"type": "user", "uuid": "u"})], &[0]), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sidechains_do_not_depend_on_the_order_of_arrival(order in Just((0..7).collect::<Vec<usize>>()).prop_shuffle()) {
        let lines = parallel();
        prop_assert_eq!(sidechains(&lines, &order), sidechains(&lines, &[0, 1, 2, 3, 4, 5, 6]));
    }
}
