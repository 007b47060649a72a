//! One base chain, walked as the kernel walks it, along every way the unknown leaves open.
//!
//! Where a rule may or may not match, both ways are followed; ways that meet again in the same state are one. A user
//! chain is walked once per state it is entered with. So the work is bounded by rules times states, not by 2^n, and a
//! budget ends what is still too much.

use super::eval::Scope;
use super::state::{Place, State};
use crate::model::{Action, Cond, Expr, Kept, Reject, Rule, Ruleset, SetRef, Stmt, Table};
use crate::packet::Packet;
use crate::set::Datum;
use crate::value::{Tri, Value};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// NFT_JUMP_STACK_SIZE: the kernel loads no deeper jumps, iptables none that return to themselves.
const DEPTH: usize = 16;
/// States followed side by side within a chain.
const STATES: usize = 64;
/// Rules looked at for one verdict; about a second's work.
const BUDGET: u64 = 8_000_000;

/// Steps of one way that are ever written out.
const STEPS: usize = 20_000;

/// A rule's place; `rule` is [`POLICY`] for the end of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct At {
    pub(super) ruleset: usize,
    pub(super) table: usize,
    pub(super) chain: usize,
    pub(super) rule: usize,
}

pub(super) const POLICY: usize = usize::MAX;

/// What happened on the way.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Jumped,
    Ended,
    Translated,
    Marked,
    /// Not known whether it matches; this way took it to (not) match, because of ….
    Supposed(bool, Rc<str>),
}

pub(super) type PathId = u32;

enum Node {
    Step(PathId, At, Event),
    /// A way, and behind it the way through a chain walked before.
    Join(PathId, PathId),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum End {
    Accept,
    Drop,
    Reject(Option<Reject>),
    /// Fell out of the chain.
    Return,
    /// Too deep, too many ways: anything may follow.
    Lost(&'static str),
}

#[derive(Debug, Clone)]
pub(super) struct Exit {
    pub(super) end: End,
    pub(super) state: State,
    pub(super) path: PathId,
}

pub(super) struct Walker<'a> {
    pub(super) packet: &'a Packet,
    pub(super) rulesets: &'a [&'a Ruleset],
    pub(super) asked_way_back: Cell<bool>,
    pub(super) assumed: RefCell<BTreeSet<String>>,
    nodes: Vec<Node>,
    memo: HashMap<(usize, usize, usize, State), Rc<Vec<Exit>>>,
    budget: u64,
}

/// Where a way stands within a rule.
struct Way {
    stmt: usize,
    state: State,
    path: PathId,
}

impl<'a> Walker<'a> {
    pub(super) fn new(packet: &'a Packet, rulesets: &'a [&'a Ruleset], budget: u64) -> Self {
        Self {
            packet,
            rulesets,
            asked_way_back: Cell::new(false),
            assumed: RefCell::default(),
            nodes: Vec::new(),
            memo: HashMap::new(),
            budget: budget.min(BUDGET),
        }
    }

    pub(super) const BUDGET: u64 = BUDGET;

    pub(super) fn budget_left(&self) -> u64 {
        self.budget
    }

    /// A base chain from its start; ends in an accept, a drop or a refusal.
    pub(super) fn base(&mut self, at: At, place: &Place, state: &State, path: PathId) -> Vec<Exit> {
        self.memo.clear();
        let accept = self.chain(at).base.as_ref().is_none_or(|b| b.accept);
        let mut exits = self.run(at, place, state, 0);
        for exit in &mut exits {
            if exit.end == End::Return {
                exit.end = if accept { End::Accept } else { End::Drop };
                exit.path = self.step(exit.path, At { rule: POLICY, ..at }, Event::Ended);
            }
            exit.path = self.join(path, exit.path);
        }
        exits
    }

    fn chain(&self, at: At) -> &'a crate::model::Chain {
        &self.rulesets[at.ruleset].tables[at.table].chains[at.chain]
    }

    fn table(&self, at: At) -> &'a Table {
        &self.rulesets[at.ruleset].tables[at.table]
    }

    pub(super) fn step(&mut self, path: PathId, at: At, event: Event) -> PathId {
        self.push(Node::Step(path, at, event))
    }

    fn join(&mut self, path: PathId, behind: PathId) -> PathId {
        match (path, behind) {
            (p, 0) | (0, p) => p,
            _ => self.push(Node::Join(path, behind)),
        }
    }

    /// Ids count from 1; 0 is the way not gone yet.
    fn push(&mut self, node: Node) -> PathId {
        self.nodes.push(node);
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    /// The steps of a way in order, at most `limit` from its end. Ways share their pieces: written out, one can be
    /// longer than memory.
    pub(super) fn steps(&self, path: PathId, limit: usize) -> Vec<(At, &Event)> {
        let limit = limit.min(STEPS);
        let mut out = Vec::new();
        let mut todo = vec![path];
        while let Some(id) = todo.pop() {
            let Some(node) = id.checked_sub(1).and_then(|i| self.nodes.get(i as usize)) else { continue };
            match node {
                Node::Step(before, at, event) => {
                    out.push((*at, event));
                    todo.push(*before);
                }
                Node::Join(before, behind) => todo.extend([*before, *behind]),
            }
            if out.len() >= limit {
                break;
            }
        }
        out.reverse();
        out
    }

    fn run(&mut self, at: At, place: &Place, state: &State, depth: usize) -> Vec<Exit> {
        let table = self.table(at);
        let mut exits: Vec<Exit> = Vec::new();
        let mut live = vec![(state.clone(), 0 as PathId)];
        for (index, rule) in self.chain(at).rules.iter().enumerate() {
            let at = At { rule: index, ..at };
            if self.budget == 0 {
                return lost(live, "too many possibilities to follow", exits);
            }
            self.budget = self.budget.saturating_sub(live.len() as u64);
            if let (Some(Stmt::If(cond)), [(only, _)]) = (rule.stmts.first(), live.as_slice())
                && self.scope(table, place, only).cond(cond) == Tri::No
            {
                continue;
            }
            let mut next = Vec::new();
            for (state, path) in live {
                self.rule(at, rule, place, state, path, depth, &mut next, &mut exits);
            }
            live = next;
            if live.is_empty() {
                return exits;
            }
            if live.len() > STATES || exits.len() > 8 * STATES {
                return lost(live, "too many possibilities to follow", exits);
            }
        }
        for (state, path) in live {
            add_exit(&mut exits, Exit { end: End::Return, state, path });
        }
        exits
    }

    fn scope<'s>(&'s self, table: &'s Table, place: &'s Place, state: &'s State) -> Scope<'s> {
        Scope {
            packet: self.packet,
            rulesets: self.rulesets,
            table,
            place,
            state,
            asked_way_back: &self.asked_way_back,
            assumed: &self.assumed,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the walk's whole position; a struct would only rename it")]
    fn rule(
        &mut self,
        at: At,
        rule: &'a Rule,
        place: &Place,
        state: State,
        path: PathId,
        depth: usize,
        next: &mut Vec<(State, PathId)>,
        exits: &mut Vec<Exit>,
    ) {
        let table = self.table(at);
        let mut ways = vec![Way { stmt: 0, state, path }];
        while let Some(way) = ways.pop() {
            let Way { stmt, mut state, path } = way;
            let Some(statement) = rule.stmts.get(stmt) else {
                add_live(next, state, path);
                continue;
            };
            let go_on = |state: State, path: PathId| Way { stmt: stmt + 1, state, path };
            match statement {
                Stmt::If(cond) => match self.scope(table, place, &state).cond(cond) {
                    Tri::No => add_live(next, state, path),
                    Tri::Yes => ways.push(go_on(state, path)),
                    Tri::Maybe => {
                        let why: Rc<str> = self.scope(table, place, &state).why(cond).into();
                        let not = self.step(path, at, Event::Supposed(false, why.clone()));
                        let yes = self.step(path, at, Event::Supposed(true, why));
                        add_live(next, state.clone(), not);
                        ways.push(go_on(state, yes));
                    }
                },
                Stmt::Do(action) => self.act(at, action, place, state, path, depth, next, exits),
                Stmt::Vmap(key, map) => {
                    for (action, path) in self.vmap(at, place, &state, path, key, map) {
                        match action {
                            Some(action) => {
                                self.act(at, action, place, state.clone(), path, depth, next, exits);
                            }
                            None => add_live(next, state.clone(), path),
                        }
                    }
                }
                // nft does not list that such a rule of an inet table asks for the family.
                Stmt::Reject(Some(how)) if how.other_family(self.packet.src.is_ipv4()) => {
                    add_live(next, state, path);
                }
                Stmt::Reject(how) => {
                    let path = self.step(path, at, Event::Ended);
                    let how = how.map(|h| h.for_family(self.packet.src.is_ipv4()));
                    add_exit(exits, Exit { end: End::Reject(how), state, path });
                }
                Stmt::Dnat { addr, port, map } => {
                    let scope = self.scope(table, place, &state);
                    let (daddr, dport) = translated(&scope, addr.as_ref(), port.as_ref(), map.as_ref());
                    // A key without an entry ends the rule before it translates.
                    if daddr == Value::Absent || dport == Value::Absent {
                        add_live(next, state, path);
                        continue;
                    }
                    state.translated(daddr, dport, self.packet);
                    let path = self.step(path, at, Event::Translated);
                    add_exit(exits, Exit { end: End::Accept, state, path });
                }
                Stmt::Redirect { port } => {
                    let scope = self.scope(table, place, &state);
                    let dport = port.as_ref().map_or(state.dport, |p| scope.expr(p));
                    if dport == Value::Absent {
                        add_live(next, state, path);
                        continue;
                    }
                    let daddr = redirect_addr(self.packet, place, &state);
                    let daddr = match (&self.packet.local, daddr) {
                        (None, Value::Range(..)) => {
                            let says = "the address dialled is the first one of its interface";
                            self.assumed.borrow_mut().insert(says.to_owned());
                            state.daddr
                        }
                        (_, known) => known,
                    };
                    state.redirected = true;
                    state.translated(daddr, dport, self.packet);
                    let path = self.step(path, at, Event::Translated);
                    add_exit(exits, Exit { end: End::Accept, state, path });
                }
                Stmt::Snat => {
                    state.snat = true;
                    state.saddr = Value::UNKNOWN;
                    let path = self.step(path, at, Event::Translated);
                    add_exit(exits, Exit { end: End::Accept, state, path });
                }
                Stmt::SetMark(expr) => {
                    let value = self.scope(table, place, &state).expr(expr);
                    if value == Value::Absent {
                        add_live(next, state, path);
                    } else {
                        state.mark = value;
                        let path = self.step(path, at, Event::Marked);
                        ways.push(go_on(state, path));
                    }
                }
                Stmt::SetCtMark(expr) => {
                    let value = self.scope(table, place, &state).expr(expr);
                    if value == Value::Absent {
                        add_live(next, state, path);
                    } else {
                        if state.tracked(place) {
                            state.ct_mark = value;
                        }
                        let path = self.step(path, at, Event::Marked);
                        ways.push(go_on(state, path));
                    }
                }
                Stmt::Touch { set, key, keeps } => {
                    let scope = self.scope(table, place, &state);
                    // Without the field that is to be added the rule ends.
                    let Some(values) = scope.key(key) else {
                        add_live(next, state, path);
                        continue;
                    };
                    let found = if keeps.is_empty() { Tri::No } else { scope.contains(set, &values) };
                    // An element that keeps no limit itself was not made by such a rule: it has none.
                    let bare = found == Tri::Yes && scope.set(set).is_some_and(|s| !s.limits);
                    let goes_on = if bare { Tri::Yes } else { kept(&scope, keeps, found) };
                    let why: Rc<str> = "a limit per address".into();
                    if let SetRef::Named(name) | SetRef::Ipset(name) = set
                        && !state.touched.iter().any(|t| **t == **name)
                    {
                        state.touched.push(name.as_str().into());
                    }
                    match goes_on {
                        Tri::Yes => ways.push(go_on(state, path)),
                        Tri::No => add_live(next, state, path),
                        Tri::Maybe => {
                            let not = self.step(path, at, Event::Supposed(false, why.clone()));
                            let yes = self.step(path, at, Event::Supposed(true, why));
                            add_live(next, state.clone(), not);
                            ways.push(go_on(state, yes));
                        }
                    }
                }
                Stmt::Notrack => {
                    state.untracked |= !state.tracked(place);
                    ways.push(go_on(state, path));
                }
                Stmt::Queue { first, last, bypass } => {
                    // Of several queues the kernel takes one by the addresses.
                    let none = self
                        .packet
                        .queues
                        .as_ref()
                        .map(|all| (*first..=*last).filter(|n| all.contains(n)).count() == 0);
                    if none == Some(true) {
                        // nf_queue: without a program at the queue, -ESRCH.
                        let path = self.step(path, at, Event::Ended);
                        let end = if *bypass { End::Accept } else { End::Drop };
                        add_exit(exits, Exit { end, state, path });
                        continue;
                    }
                    self.taken(at, "the program behind an NFQUEUE", &state, path, exits);
                }
                Stmt::Taken(by) => self.taken(at, by, &state, path, exits),
                Stmt::Rewrites(how) => {
                    let path = self.step(path, at, Event::Ended);
                    add_exit(exits, Exit { end: End::Lost(how), state, path });
                }
                Stmt::Opaque(what) => {
                    let why: Rc<str> = what.as_str().into();
                    let not = self.step(path, at, Event::Supposed(false, why.clone()));
                    ways.push(go_on(state.clone(), not));
                    let not = self.step(path, at, Event::Supposed(false, why.clone()));
                    add_live(next, state.clone(), not);
                    for end in [End::Accept, End::Drop] {
                        let path = self.step(path, at, Event::Supposed(true, why.clone()));
                        let path = self.step(path, at, Event::Ended);
                        add_exit(exits, Exit { end, state: state.clone(), path });
                    }
                }
            }
        }
    }

    /// Something else decides.
    fn taken(&mut self, at: At, by: &str, state: &State, path: PathId, exits: &mut Vec<Exit>) {
        for (taken, end) in [(true, End::Accept), (false, End::Drop)] {
            let path = self.step(path, at, Event::Supposed(taken, by.into()));
            let path = self.step(path, at, Event::Ended);
            add_exit(exits, Exit { end, state: state.clone(), path });
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the walk's whole position; a struct would only rename it")]
    fn act(
        &mut self,
        at: At,
        action: &Action,
        place: &Place,
        state: State,
        path: PathId,
        depth: usize,
        next: &mut Vec<(State, PathId)>,
        exits: &mut Vec<Exit>,
    ) {
        let end = match action {
            Action::Continue => return add_live(next, state, path),
            Action::Return => {
                return add_exit(exits, Exit { end: End::Return, state, path });
            }
            Action::Accept => End::Accept,
            Action::Drop => End::Drop,
            Action::Jump(name) | Action::Goto(name) => {
                let back = matches!(action, Action::Jump(_));
                let Some(&chain) = self.table(at).by_name.get(name) else {
                    return add_exit(
                        exits,
                        Exit { end: End::Lost("a chain that is not in the rule set"), state, path },
                    );
                };
                if depth >= DEPTH {
                    return add_exit(
                        exits,
                        Exit { end: End::Lost("jumps deeper than the kernel takes"), state, path },
                    );
                }
                let jumped = self.step(path, at, Event::Jumped);
                let called = self.call(At { chain, rule: 0, ..at }, place, &state, depth + 1);
                for exit in called.iter() {
                    // Back unchanged: nothing in there mattered.
                    if exit.end == End::Return && back && exit.state == state {
                        add_live(next, state.clone(), path);
                        continue;
                    }
                    let path = self.join(jumped, exit.path);
                    match exit.end {
                        End::Return if back => add_live(next, exit.state.clone(), path),
                        _ => add_exit(exits, Exit { path, ..exit.clone() }),
                    }
                }
                return;
            }
        };
        let path = self.step(path, at, Event::Ended);
        add_exit(exits, Exit { end, state, path });
    }

    fn call(&mut self, at: At, place: &Place, state: &State, depth: usize) -> Rc<Vec<Exit>> {
        let key = (at.ruleset, at.table, at.chain, state.clone());
        if let Some(exits) = self.memo.get(&key) {
            return exits.clone();
        }
        let exits = Rc::new(self.run(at, place, state, depth));
        self.memo.insert(key, exits.clone());
        exits
    }

    /// The verdicts the key may find, `None` for no entry.
    fn vmap(
        &mut self,
        at: At,
        place: &Place,
        state: &State,
        path: PathId,
        key: &'a [Expr],
        map: &'a SetRef,
    ) -> Vec<(Option<&'a Action>, PathId)> {
        let table = self.table(at);
        let scope = self.scope(table, place, state);
        let Some(values) = scope.key(key) else { return vec![(None, path)] };
        let data = match map {
            SetRef::Anonymous(data) => data,
            SetRef::Named(name) => match table.sets.get(name) {
                Some(data) => data,
                // Left out of the listing: nobody knows what is in it.
                None => {
                    let why: Rc<str> = format!("the content of @{name}, which the listing lacks").into();
                    let mut out = vec![(None, self.step(path, at, Event::Supposed(false, why.clone())))];
                    for action in [&Action::Accept, &Action::Drop] {
                        out.push((Some(action), self.step(path, at, Event::Supposed(true, why.clone()))));
                    }
                    return out;
                }
            },
            SetRef::Ipset(_) => return vec![(None, path)],
        };
        let cond = Cond::In(key.to_vec(), map.clone(), false);
        let hits = data.find(&values);
        let unknown = data.unknown.is_some() || scope.touched(map);
        let certain = !unknown && !hits.may_miss && hits.data.len() == 1;
        if hits.data.is_empty() && !unknown {
            return vec![(None, path)];
        }
        let why: Rc<str> = if certain { "".into() } else { scope.why(&cond).into() };
        let mut out = Vec::new();
        let all: Vec<&'a Datum> = if unknown { data.all().collect() } else { hits.data };
        for datum in all {
            let Datum::Action(action) = datum else { continue };
            let path = if certain { path } else { self.step(path, at, Event::Supposed(true, why.clone())) };
            out.push((Some(action), path));
        }
        if hits.may_miss || unknown || out.is_empty() {
            let path = self.step(path, at, Event::Supposed(false, why));
            out.push((None, path));
        }
        out
    }
}

/// Whether the rule goes on behind the counts that it keeps with an element.
fn kept(scope: &Scope<'_>, keeps: &[Kept], found: Tri) -> Tri {
    let one = |k: &Kept| match found {
        Tri::No => k.first.into(),
        Tri::Yes => scope.cond(&k.later),
        Tri::Maybe if scope.cond(&k.later) == Tri::from(k.first) => k.first.into(),
        Tri::Maybe => Tri::Maybe,
    };
    keeps.iter().map(one).fold(Tri::Yes, Tri::and)
}

fn translated(
    scope: &Scope<'_>,
    addr: Option<&Expr>,
    port: Option<&Expr>,
    map: Option<&(Vec<Expr>, SetRef)>,
) -> (Value, Value) {
    let (mut daddr, mut dport) = (scope.state.daddr, scope.state.dport);
    if let Some((key, map)) = map {
        (daddr, dport) = scope.map_pair(key, map);
    }
    if let Some(addr) = addr {
        daddr = scope.expr(addr);
    }
    if let Some(port) = port {
        dport = scope.expr(port);
    }
    (daddr, dport)
}

/// REDIRECT sends to the first address of the incoming interface, from this host itself to the loopback address.
fn redirect_addr(packet: &Packet, place: &Place, state: &State) -> Value {
    if place.ours {
        return Value::Known(if packet.src.is_ipv4() { 0x7f00_0001 } else { 1 });
    }
    match packet.local.as_deref() {
        Some([only]) if Value::Known(crate::packet::addr_bits(only.addr)) == state.daddr => state.daddr,
        _ => Value::UNKNOWN,
    }
}

fn lost(live: Vec<(State, PathId)>, why: &'static str, mut exits: Vec<Exit>) -> Vec<Exit> {
    exits.extend(live.into_iter().take(1).map(|(state, path)| Exit { end: End::Lost(why), state, path }));
    exits
}

/// Two ways that are in the same state from here on are one.
fn add_live(live: &mut Vec<(State, PathId)>, state: State, path: PathId) {
    if !live.iter().any(|(s, _)| *s == state) {
        live.push((state, path));
    }
}

/// Of the ways with the same end the first is kept: the rules are tried in order.
fn add_exit(exits: &mut Vec<Exit>, exit: Exit) {
    if !exits.iter().any(|e| e.end == exit.end && e.state == exit.state) {
        exits.push(exit);
    }
}
