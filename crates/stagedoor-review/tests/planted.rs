//! Changes of one policy, planted among others for catalogs of up to 5,000 entities: whatever comes
//! out differently for somebody of the catalog, `diff` tells without having asked about it.
//!
//! `STAGEDOOR_PLANTED` (a number) asks for more changes, `STAGEDOOR_SEED` for others:
//!
//! ```sh
//! STAGEDOOR_PLANTED=1000 cargo test --release -p stagedoor-review --test planted -- --nocapture
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use stagedoor_backstage::{Catalog, EntityRef, Permissions};
use stagedoor_core::{Engine, Entities, EntityUid, Page, Party, Query};
use stagedoor_review::diff::{Cases, Direction, Meaning};

/// How many changes are planted unless more are wanted.
const CHANGES: u64 = 12;

/// The sizes of catalogs, those that an ordinary run tries first.
const SIZES: [usize; 4] = [100, 500, 1_000, 5_000];

/// What a change may cost in memory, with everything else that this program keeps, in MiB.
const MEMORY: u64 = 500;

const ACTIONS: [&str; 3] =
    ["catalog.entity.read", "catalog.entity.refresh", "catalog.entity.delete"];

/// A catalog and whoever is in it.
struct World {
    teams: usize,
    users: Vec<EntityUid>,
    store: Entities,
}

impl World {
    fn new(size: usize) -> Result<Self> {
        let teams = (size / 40).max(4);
        let people = (size / 10).max(10);
        let mut text = String::new();
        let mut add = |kind: &str, name: &str, rest: &str| {
            writeln!(
                text,
                "---\napiVersion: backstage.io/v1alpha1\nkind: {kind}\n\
                 metadata: {{ name: {name}, {rest}"
            )
        };
        for team in 0..teams {
            // Each team is below a group of eight.
            let above =
                if team < 8 { String::new() } else { format!("parent: team-{}", team / 8 - 1) };
            add(
                "Group",
                &format!("team-{team}"),
                &format!("}}\nspec: {{ type: team, children: [], {above} }}"),
            )?;
        }
        for user in 0..people {
            let (a, b) = (user % teams, user * 7 % teams);
            add(
                "User",
                &format!("u{user}"),
                &format!("}}\nspec: {{ memberOf: [team-{a}, team-{b}] }}"),
            )?;
        }
        for number in 0..size.saturating_sub(teams + people) {
            let kind = ["Component", "API", "Resource", "System"].get(number % 4).copied();
            let life = ["production", "experimental", "deprecated"].get(number % 3).copied();
            let owner = number * 13 % teams;
            add(
                kind.unwrap_or("Component"),
                &format!("e{number}"),
                &format!(
                    "tags: [t{}, t{}], labels: {{ tier: '{}' }} }}\n\
                     spec: {{ type: service, lifecycle: {}, owner: team-{owner}, definition: x }}",
                    number % 7,
                    number % 5,
                    number % 4,
                    life.unwrap_or("production"),
                ),
            )?;
        }
        let catalog = Catalog::from_files([("catalog.yaml", text)])?;
        let permissions = Permissions::known()?;
        let read = permissions.get("catalog.entity.read")?;
        let any = catalog.references().next().context("an empty catalog")?.clone();
        let mut store = Entities::from_entities(catalog.entities())?;
        let mut users = Vec::new();
        for reference in catalog.users().cloned().collect::<Vec<EntityRef>>() {
            let user = catalog.user(&reference).context("no such user")?;
            let asked = read.request(&user.into(), Some(catalog.resource(&any)?))?;
            users.push(asked.request.principal.clone());
            store = store.with(asked.entities)?;
        }
        Ok(Self { teams, users, store })
    }

    /// Returns which way which actions go for somebody of this catalog, and how many requests do: all
    /// are looked at, one user after another, as all at once would be most of the memory.
    fn changes(&self, old: &Engine, new: &Engine) -> Result<(BTreeSet<Change>, usize)> {
        let (mut changes, mut requests) = (BTreeSet::new(), 0);
        for user in &self.users {
            for action in ACTIONS {
                let (was, is) =
                    (self.allowed(old, user, action)?, self.allowed(new, user, action)?);
                let (gained, lost) = (is.difference(&was).count(), was.difference(&is).count());
                changes.extend((gained > 0).then_some((Direction::Widened, action)));
                changes.extend((lost > 0).then_some((Direction::Narrowed, action)));
                requests += gained + lost;
            }
        }
        Ok((changes, requests))
    }

    /// Returns what somebody may do this to.
    fn allowed(
        &self,
        engine: &Engine,
        user: &EntityUid,
        action: &str,
    ) -> Result<BTreeSet<EntityUid>> {
        let query = Query::new(user.clone(), Party::Any("Backstage::CatalogEntity".parse()?))
            .with_action(format!("Backstage::Action::{action:?}").parse()?);
        let listed = engine.list(&query, &self.store, &Page::all())?;
        ensure!(listed.refused.is_empty() && listed.next.is_none(), "{:?}", listed.refused);
        Ok(listed.entries.into_iter().map(|entry| entry.uid).collect())
    }
}

/// Which way an action goes.
type Change = (Direction, &'static str);

/// A policy in parts that can change.
#[derive(Clone)]
struct Policy {
    effect: &'static str,
    principal: String,
    action: String,
    tests: Vec<String>,
    unless: Option<String>,
}

impl Policy {
    fn random(random: &mut Rng, world: &World) -> Self {
        let is_forbid = random.u8(..8) == 0;
        // What forbids everything to everybody hides all other changes.
        let least = usize::from(is_forbid);
        let tests = (0..random.usize(least..least + 2)).map(|_| test(random, world)).collect();
        let unless = (random.u8(..4) == 0).then(|| test(random, world));
        Self {
            effect: if is_forbid { "forbid" } else { "permit" },
            principal: principal(random, world),
            action: action(random),
            tests,
            unless,
        }
    }

    /// Changes one thing of the policy.
    fn change(&mut self, random: &mut Rng, world: &World) {
        match random.u8(..7) {
            0 => self.effect = if self.effect == "permit" { "forbid" } else { "permit" },
            1 => self.principal = principal(random, world),
            2 => self.action = action(random),
            3 => self.unless = (random.bool()).then(|| test(random, world)),
            4 if !self.tests.is_empty() => {
                let place = random.usize(..self.tests.len());
                self.tests.remove(place);
            }
            5 if !self.tests.is_empty() => {
                let place = random.usize(..self.tests.len());
                if let Some(own) = self.tests.get_mut(place) {
                    *own = test(random, world);
                }
            }
            _ => self.tests.push(test(random, world)),
        }
    }

    fn text(&self, number: usize) -> String {
        let Self { effect, principal, action, tests, unless } = self;
        let mut text = format!(
            "@id(\"p{number}\") {effect} ({principal}, {action}, resource is Backstage::CatalogEntity)"
        );
        if !tests.is_empty() {
            text += &format!(" when {{ {} }}", tests.join(" && "));
        }
        if let Some(unless) = unless {
            text += &format!(" unless {{ {unless} }}");
        }
        text + ";\n"
    }
}

fn principal(random: &mut Rng, world: &World) -> String {
    let team = random.usize(..world.teams);
    match random.u8(..6) {
        0 => "principal is Backstage::User".to_owned(),
        1 => format!(
            "principal == {}",
            world
                .users
                .get(random.usize(..world.users.len()))
                .map_or(String::new(), ToString::to_string)
        ),
        _ => format!("principal in Backstage::Group::\"group:default/team-{team}\""),
    }
}

fn action(random: &mut Rng) -> String {
    let of = |name: &str| format!("Backstage::Action::{name:?}");
    let one = random.choice(ACTIONS).unwrap_or("catalog.entity.read");
    match random.u8(..3) {
        0 => format!("action in [{}]", ACTIONS.map(of).join(", ")),
        1 => format!("action in [{}, {}]", of(one), of("catalog.entity.delete")),
        _ => format!("action == {}", of(one)),
    }
}

fn test(random: &mut Rng, world: &World) -> String {
    let n = random.usize(..8);
    let team = random.usize(..world.teams);
    let kind = random.choice(["component", "api", "resource", "system"]).unwrap_or("api");
    match random.u8(..10) {
        0 => format!("resource.kind == {kind:?}"),
        1 => format!("[\"component\", {kind:?}].contains(resource.kind)"),
        2 => "resource.owners.containsAny(principal.claims)".to_owned(),
        3 => format!("(resource.hasTag(\"metadata.tags\") && resource.getTag(\"metadata.tags\").contains(\"t{n}\"))"),
        4 => "(resource.hasTag(\"spec.lifecycle\") && resource.getTag(\"spec.lifecycle\").contains(\"production\"))".to_owned(),
        5 => format!("resource.name like \"e{n}*\""),
        6 => format!("resource.owners.contains(\"group:default/team-{team}\")"),
        7 => format!("(resource.labels.hasTag(\"tier\") && resource.labels.getTag(\"tier\") == \"{}\")", n % 4),
        8 => format!("principal in Backstage::Group::\"group:default/team-{team}\""),
        _ => format!("!(resource.kind == {kind:?} || resource.name == \"e{n}\")"),
    }
}

fn engine(policies: &[Policy]) -> Result<Engine> {
    let text: String = policies.iter().enumerate().map(|(n, policy)| policy.text(n)).collect();
    Ok(Engine::builder()
        .schema("backstage.cedarschema", stagedoor_backstage::SCHEMA)
        .policies("p.cedar", text)
        .build()?)
}

#[test]
fn each_change_that_somebody_meets_is_told() -> Result<()> {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let wanted = setting("STAGEDOOR_PLANTED").unwrap_or(CHANGES);
    let first = setting("STAGEDOOR_SEED").unwrap_or(0);
    // Large catalogs take long to enumerate: an ordinary run has the two smaller ones.
    let sizes = if wanted > 100 { SIZES.as_slice() } else { &SIZES[..2] };
    let worlds = sizes.iter().map(|size| World::new(*size)).collect::<Result<Vec<_>>>()?;
    let (mut met, mut told, mut undecided, mut met_requests) = (0, 0, 0, 0);
    for seed in first..first + wanted {
        let mut random = Rng::with_seed(seed);
        let Some(world) = random.choice(worlds.iter()) else { break };
        let count = random.usize(5..60);
        let old: Vec<Policy> = (0..count).map(|_| Policy::random(&mut random, world)).collect();
        let mut new = old.clone();
        let place = random.usize(..count);
        match random.u8(..6) {
            0 => _ = new.remove(place),
            1 => new.insert(place, Policy::random(&mut random, world)),
            _ => {
                if let Some(policy) = new.get_mut(place) {
                    policy.change(&mut random, world);
                }
            }
        }
        let (before, after) = (engine(&old)?, engine(&new)?);
        let meaning = Meaning::of(&before, &after, Cases::Kept)?.context("no schema")?;
        let (seen, requests) = world.changes(&before, &after)?;
        for (direction, action) in &seen {
            let is_told = meaning.rows.iter().any(|row| {
                row.proved && row.direction == *direction && row.actions.contains(*action)
            });
            ensure!(
                is_told,
                "seed {seed}: {direction:?} of {action} is not told: {:#?}\n{}",
                meaning.rows,
                old.iter().enumerate().map(|(n, policy)| policy.text(n)).collect::<String>()
            );
        }
        met += u64::from(!seen.is_empty());
        met_requests += requests;
        told += u64::from(meaning.rows.iter().any(|row| row.proved));
        undecided += u64::from(meaning.undecided);
    }
    let peak = peak_memory();
    println!(
        "{wanted} changes in catalogs of {sizes:?} entities: {met} met by somebody ({met_requests} \
         requests), all told; {told} told in all, {undecided} undecided; {} MiB at the peak",
        peak.map_or("?".to_owned(), |mib| mib.to_string())
    );
    ensure!(met * 4 > wanted, "hardly any change is met by anybody");
    ensure!(peak.is_none_or(|mib| mib < MEMORY), "more than {MEMORY} MiB: {peak:?}");
    Ok(())
}

/// The most memory that this program had so far, in MiB, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024)
}
