//! Numbers for the names that a policy set mentions, so that decisions compare numbers.
//!
//! A name that no policy mentions has no number and equals nothing that has one. An engine that
//! was edited shares the numbers of the one that it was made of, and adds its own.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{self, AtomicU64};

use cedar_policy::{EntityTypeName, EntityUid};
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::hash::{FastMap, KeyHasher, PersistentMap};
use crate::number::{EntityNumber, PathNumber, TypeNumber};
use crate::path_set::PathSet;
use crate::value::ValueRef;

/// A variable of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Var {
    Principal,
    Action,
    Resource,
    Context,
}

/// One step from a value to a value within it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Attribute(SmolStr),
    Tag(SmolStr),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(name) => write!(f, "attribute `{name}`"),
            Self::Tag(name) => write!(f, "tag `{name}`"),
        }
    }
}

/// Where a value stands in a request: `resource.namespace`, `resource.getTag("spec.type")`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Path {
    pub(crate) var: Var,
    pub(crate) steps: SmallVec<[Step; 2]>,
}

/// Writes the path as Cedar text.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.var {
            Var::Principal => "principal",
            Var::Action => "action",
            Var::Resource => "resource",
            Var::Context => "context",
        })?;
        self.steps.iter().try_for_each(|step| match step {
            Step::Attribute(name) if is_identifier(name) => write!(f, ".{name}"),
            Step::Attribute(name) => write!(f, "[\"{}\"]", name.escape_debug()),
            Step::Tag(name) => write!(f, ".getTag(\"{}\")", name.escape_debug()),
        })
    }
}

fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A literal of a policy, or a request's value in terms of those literals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    kind: KeyKind,
    number: u32,
}

/// What a [`Key`] is a number of. Its unused values leave a `PathKey` as small as a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum KeyKind {
    Entity = 1,
    Type,
    String,
    Long,
    Bool,
}

impl Key {
    pub(crate) const fn uid(number: EntityNumber) -> Self {
        Self { kind: KeyKind::Entity, number: number.get() }
    }

    pub(crate) const fn type_(number: TypeNumber) -> Self {
        Self { kind: KeyKind::Type, number: number.get() }
    }

    const fn string(number: u32) -> Self {
        Self { kind: KeyKind::String, number }
    }

    const fn long(number: u32) -> Self {
        Self { kind: KeyKind::Long, number }
    }

    pub(crate) const fn bool(held: bool) -> Self {
        Self { kind: KeyKind::Bool, number: held as u32 }
    }

    /// Returns the kind in the upper half, the number in the lower.
    #[inline]
    const fn bits(self) -> u64 {
        (self.kind as u64) << 32 | self.number as u64
    }

    /// Returns a hash whose upper half tells keys apart.
    #[inline]
    pub(crate) const fn hash(self) -> u64 {
        self.bits().wrapping_mul(0xF135_7AEA_2E62_A9C5)
    }

    /// Returns the entity's number, if the literal is one.
    pub(crate) const fn as_uid(self) -> Option<EntityNumber> {
        match self.kind {
            KeyKind::Entity => Some(EntityNumber::new(self.number)),
            KeyKind::Type | KeyKind::String | KeyKind::Long | KeyKind::Bool => None,
        }
    }
}

// One comparison and one word to hash, instead of one for each field.
impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.bits().cmp(&other.bits())
    }
}

impl PartialOrd for Key {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.bits());
    }
}

/// As [`KeyMap`], with copies that share what they have in common.
pub(crate) type PersistentKeyMap<V> =
    imbl::GenericHashMap<Key, V, BuildHasherDefault<KeyHasher>, imbl::shared_ptr::DefaultSharedPtr>;

/// Values by a literal's number.
pub(crate) type KeyMap<V> = hashbrown::HashMap<Key, V, BuildHasherDefault<KeyHasher>>;

/// An entity's id and its type's number: types are few, and comparing their names is slow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Id {
    type_: TypeNumber,
    id: SmolStr,
}

/// An [`Id`] to look up.
#[derive(Hash)]
struct IdRef<'a> {
    type_: TypeNumber,
    id: &'a str,
}

impl IdRef<'_> {
    fn is(&self, other: &Id) -> bool {
        self.type_ == other.type_ && self.id == other.id
    }
}

// Both kinds of maps look up by what equals a key, each by its own trait.
impl hashbrown::Equivalent<Id> for IdRef<'_> {
    fn equivalent(&self, other: &Id) -> bool {
        self.is(other)
    }
}

impl equivalent::Equivalent<Id> for IdRef<'_> {
    fn equivalent(&self, other: &Id) -> bool {
        self.is(other)
    }
}

/// Numbers by name, shared with the numberings that this one was made of or that were made of it.
#[derive(Debug, Clone)]
struct Numbers<K> {
    shared: Arc<FastMap<K, u32>>,
    /// What came later.
    added: PersistentMap<K, u32>,
}

impl<K> Default for Numbers<K> {
    fn default() -> Self {
        Self { shared: Arc::default(), added: PersistentMap::default() }
    }
}

impl<K: Clone + Eq + Hash> Numbers<K> {
    #[inline]
    fn get<Q>(&self, key: &Q) -> Option<u32>
    where
        Q: Hash + hashbrown::Equivalent<K> + equivalent::Equivalent<K> + ?Sized,
    {
        let number = self.shared.get(key).copied();
        if number.is_some() || self.added.is_empty() {
            return number;
        }
        self.added.get(key).copied()
    }

    fn len(&self) -> usize {
        self.shared.len() + self.added.len()
    }

    /// Gives the next number to a key that has none.
    fn add(&mut self, key: K) -> u32 {
        let number = count(self.len());
        match Arc::get_mut(&mut self.shared) {
            Some(own) => drop(own.insert(key, number)),
            None => drop(self.added.insert(key, number)),
        }
        number
    }

    fn number(&mut self, key: &K) -> u32 {
        self.get(key).unwrap_or_else(|| self.add(key.clone()))
    }

    /// Puts everything into one table.
    fn settle(&mut self) {
        if !self.added.is_empty() {
            let mut all = FastMap::clone(&self.shared);
            all.extend(std::mem::take(&mut self.added));
            self.shared = Arc::new(all);
        }
        if let Some(own) = Arc::get_mut(&mut self.shared) {
            own.shrink_to_fit();
        }
    }
}

/// The numbering of one engine.
#[derive(Debug, Clone)]
pub(crate) struct Symbols {
    /// Tells this numbering from every other in the process.
    pub(crate) numbering: u64,
    uids: Numbers<Id>,
    types: FastMap<EntityTypeName, TypeNumber>,
    /// Types of which no entity is named, so that no id of theirs needs to be looked up.
    unnamed: Vec<bool>,
    strings: Numbers<SmolStr>,
    longs: Numbers<i64>,
    path_numbers: FastMap<Path, PathNumber>,
    paths: Vec<Path>,
    /// For each path its variable, and how many paths of the same variable come before it.
    ordinals: Vec<(Var, u32)>,
    /// How many paths each variable has.
    path_counts: [u32; 4],
}

static NEXT_NUMBERING: AtomicU64 = AtomicU64::new(1);

impl Symbols {
    pub(crate) fn new() -> Self {
        Self {
            numbering: next_numbering(),
            uids: Numbers::default(),
            types: FastMap::default(),
            unnamed: Vec::new(),
            strings: Numbers::default(),
            longs: Numbers::default(),
            path_numbers: FastMap::default(),
            paths: Vec::new(),
            ordinals: Vec::new(),
            path_counts: [0; 4],
        }
    }

    pub(crate) fn intern_uid(&mut self, uid: &EntityUid) -> EntityNumber {
        let type_ = self.intern_type(uid.type_name());
        let id = uid.id().unescaped();
        if let Some(number) = self.uids.get(&IdRef { type_, id }) {
            return EntityNumber::new(number);
        }
        let number = EntityNumber::new(self.uids.add(Id { type_, id: id.into() }));
        if let Some(unnamed) = self.unnamed.get_mut(type_.index()) {
            *unnamed = false;
        }
        number
    }

    pub(crate) fn intern_type(&mut self, name: &EntityTypeName) -> TypeNumber {
        if let Some(number) = self.types.get(name) {
            return *number;
        }
        let number = TypeNumber::after(self.types.len());
        self.types.insert(name.clone(), number);
        self.unnamed.push(true);
        number
    }

    pub(crate) fn intern_string(&mut self, string: &SmolStr) -> Key {
        Key::string(self.strings.number(string))
    }

    pub(crate) fn intern_long(&mut self, long: i64) -> Key {
        Key::long(self.longs.number(&long))
    }

    pub(crate) fn intern_path(&mut self, path: Path) -> PathNumber {
        if let Some(number) = self.path_numbers.get(&path) {
            return *number;
        }
        let number = PathNumber::after(self.paths.len());
        if let Some(ordinal) = self.path_counts.get_mut(path.var as usize) {
            self.ordinals.push((path.var, *ordinal));
            *ordinal += 1;
        }
        self.paths.push(path.clone());
        self.path_numbers.insert(path, number);
        number
    }

    pub(crate) fn uid(&self, uid: &EntityUid) -> Option<EntityNumber> {
        self.id(self.type_(uid.type_name())?, uid.id().unescaped())
    }

    /// Returns the number of the entity with this id, of the type with this number.
    pub(crate) fn id(&self, type_: TypeNumber, id: &str) -> Option<EntityNumber> {
        if self.unnamed.get(type_.index()).copied().unwrap_or(true) {
            return None;
        }
        self.uids.get(&IdRef { type_, id }).map(EntityNumber::new)
    }

    pub(crate) fn type_(&self, name: &EntityTypeName) -> Option<TypeNumber> {
        self.types.get(name).copied()
    }

    pub(crate) fn path(&self, number: PathNumber) -> Option<&Path> {
        self.paths.get(number.index())
    }

    /// Returns a path's variable, and how many paths of that variable come before it.
    pub(crate) fn ordinal(&self, number: PathNumber) -> Option<(Var, usize)> {
        self.ordinals.get(number.index()).map(|(var, ordinal)| (*var, *ordinal as usize))
    }

    /// Returns a variable's paths in order.
    pub(crate) fn paths_of(&self, var: Var) -> impl Iterator<Item = &Path> {
        self.paths.iter().filter(move |path| path.var == var)
    }

    /// Returns those of a variable's paths that are as said, by their place among them.
    pub(crate) fn path_set(&self, var: Var, is_in: impl Fn(usize, &Path) -> bool) -> PathSet {
        let numbered = self.paths.iter().enumerate().filter(|(_, path)| path.var == var);
        let chosen = numbered.enumerate().filter(|(ordinal, (_, path))| is_in(*ordinal, path));
        chosen.map(|(_, (number, _))| PathNumber::after(number)).collect()
    }

    /// Returns the literal that `value` equals, if a policy mentions it.
    pub(crate) fn key(&self, value: ValueRef<'_>) -> Option<Key> {
        match value {
            ValueRef::String(s) => self.strings.get(s).map(Key::string),
            ValueRef::Entity(uid) => self.uid(uid).map(Key::uid),
            ValueRef::Bool(b) => Some(Key::bool(b)),
            ValueRef::Long(n) => self.longs.get(&n).map(Key::long),
            ValueRef::Value(_) => None,
        }
    }

    /// Puts all numbers where they are found at once. They stay the same.
    pub(crate) fn settle(&mut self) {
        self.uids.settle();
        self.types.shrink_to_fit();
        self.strings.settle();
        self.longs.settle();
    }

    /// Returns how many names have a number.
    pub(crate) fn len(&self) -> usize {
        let names = self.uids.len() + self.strings.len() + self.longs.len();
        names + self.types.len() + self.paths.len()
    }

    /// Becomes a numbering of its own: it has names that the one which it was made of has not, and
    /// what was looked up for that one may be missing them.
    pub(crate) fn part(&mut self) {
        self.numbering = next_numbering();
    }
}

fn next_numbering() -> u64 {
    NEXT_NUMBERING.fetch_add(1, atomic::Ordering::Relaxed)
}

/// Limits keep every table far below four thousand million entries.
fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
