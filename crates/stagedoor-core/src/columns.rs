//! The entities of one type in a store, and which of them have what: kept with the store, made
//! when it is first asked for, or by [`Engine::index_entities`](crate::Engine::index_entities).

mod rows;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cedar_policy::{EntityTypeName, EntityUid};

use crate::hash::FastMap;
use crate::lookup::{Lookup, step_into};
use crate::node::Node;
use crate::symbols::{Key, Step, Symbols};
use crate::value::{Value, ValueRef};

pub(crate) use rows::{BLOCK, Rows};

/// The tables of one store.
#[derive(Default)]
pub(crate) struct Tables(Mutex<Vec<Arc<Table>>>);

/// The entities of one type, sorted by id, and their columns in one engine's numbering.
pub(crate) struct Table {
    numbering: u64,
    type_: EntityTypeName,
    rows: Box<[Arc<Node>]>,
    columns: Mutex<FastMap<Facet, Arc<Column>>>,
}

/// What rows are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Facet {
    /// Which entity it is.
    Itself,
    /// That one, and what it is a member of.
    Above,
    /// An attribute or tag, by the literals of policies.
    Value(Step),
    /// An attribute or tag, by its value.
    Alike(Step),
    /// The elements of a set that an attribute or tag is.
    Elements(Step),
}

/// The rows of a table by what they have of a facet.
#[derive(Default)]
pub(crate) struct Column {
    by_key: FastMap<Key, Vec<u32>>,
    /// The rows that have nothing, or of [`Facet::Elements`] no set.
    pub(crate) missing: Vec<u32>,
    /// Of [`Facet::Alike`] the rows that have the same value; none where there are more values than a
    /// block has rows, so that each row may as well be looked at.
    pub(crate) alike: Option<Vec<Vec<u32>>>,
}

impl Tables {
    /// Returns the table of a type in an engine's numbering.
    pub(crate) fn table<'n>(
        &self,
        type_: &EntityTypeName,
        symbols: &Symbols,
        nodes: impl Iterator<Item = &'n Arc<Node>>,
    ) -> Arc<Table> {
        let numbering = symbols.numbering;
        let mut tables = lock(&self.0);
        let known =
            tables.iter().find(|table| table.numbering == numbering && table.type_ == *type_);
        if let Some(known) = known {
            return Arc::clone(known);
        }
        // The last two numberings: a reload keeps the old engine's requests and the new one's fast.
        let older = tables.iter().map(|table| table.numbering).filter(|n| *n != numbering).max();
        tables.retain(|table| table.numbering == numbering || Some(table.numbering) == older);
        let nodes = nodes.filter(|node| node.entity.uid.type_name() == type_);
        let mut rows: Vec<(u128, &Arc<Node>)> = nodes.map(|node| (start(id(node)), node)).collect();
        rows.sort_unstable_by(|(a, one), (b, other)| a.cmp(b).then_with(|| id(one).cmp(id(other))));
        let table = Arc::new(Table {
            numbering,
            type_: type_.clone(),
            rows: rows.into_iter().map(|(_, node)| Arc::clone(node)).collect(),
            columns: Mutex::default(),
        });
        tables.push(Arc::clone(&table));
        table
    }
}

impl Tables {
    /// Returns how many columns there are in a numbering, and about how many bytes of memory they take.
    pub(crate) fn size(&self, numbering: u64) -> (usize, usize) {
        let tables = lock(&self.0);
        let sizes = tables.iter().filter(|t| t.numbering == numbering).map(|table| table.size());
        sizes.fold((0, 0), |(columns, bytes), (more, taken)| (columns + more, bytes + taken))
    }
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn uid(&self, row: usize) -> Option<&EntityUid> {
        self.rows.get(row).map(|node| &node.entity.uid)
    }

    /// Returns the row of an id, if there is one.
    pub(crate) fn row(&self, wanted: &str) -> Option<usize> {
        self.rows.binary_search_by(|node| id(node).cmp(wanted)).ok()
    }

    /// Returns the first row whose id comes after this one.
    pub(crate) fn after(&self, last: &str) -> usize {
        self.rows.partition_point(|node| id(node) <= last)
    }

    /// Returns whether a column is made already.
    pub(crate) fn has(&self, facet: &Facet) -> bool {
        lock(&self.columns).contains_key(facet)
    }

    /// Returns how many columns there are, and about how many bytes of memory they take with the rows.
    fn size(&self) -> (usize, usize) {
        let columns = lock(&self.columns);
        let bytes: usize = columns.values().map(|column| column.bytes()).sum();
        (columns.len(), bytes + size_of_val::<[_]>(&self.rows))
    }

    pub(crate) fn column(&self, facet: &Facet, symbols: &Symbols) -> Arc<Column> {
        let mut columns = lock(&self.columns);
        if let Some(known) = columns.get(facet) {
            return Arc::clone(known);
        }
        let column = Arc::new(self.made(facet, symbols));
        columns.insert(facet.clone(), Arc::clone(&column));
        column
    }

    fn made(&self, facet: &Facet, symbols: &Symbols) -> Column {
        let mut column = Column::default();
        let rows = || (0_u32..).zip(&self.rows);
        match facet {
            Facet::Itself => {
                for (row, node) in rows() {
                    column.add(row, symbols.uid(&node.entity.uid).map(Key::uid));
                }
            }
            Facet::Above => {
                for (row, node) in rows() {
                    let above = node.ancestors.iter().map(AsRef::as_ref);
                    for uid in above.chain([&node.entity.uid]) {
                        column.add(row, symbols.uid(uid).map(Key::uid));
                    }
                }
            }
            Facet::Value(step) => {
                for (row, node) in rows() {
                    match step_into(Some(node), step) {
                        Lookup::Value(value) => column.add(row, symbols.key(value)),
                        Lookup::Missing | Lookup::Broken => column.missing.push(row),
                    }
                }
            }
            Facet::Alike(step) => {
                // Sets that differ in order alone are not told to be alike, which costs time only.
                #[expect(
                    clippy::mutable_key_type,
                    reason = "an extension value is compared by what it was made of, which stays"
                )]
                let mut alike: BTreeMap<Value, Vec<u32>> = BTreeMap::new();
                let mut is_varied = false;
                for (row, node) in rows() {
                    match step_into(Some(node), step) {
                        Lookup::Value(_) if is_varied => {}
                        Lookup::Value(value) => {
                            alike.entry(value.to_value()).or_default().push(row);
                            is_varied = alike.len() >= BLOCK;
                        }
                        Lookup::Missing | Lookup::Broken => column.missing.push(row),
                    }
                }
                column.alike = (!is_varied).then(|| alike.into_values().collect());
            }
            Facet::Elements(step) => {
                for (row, node) in rows() {
                    let Lookup::Value(ValueRef::Value(Value::Set(items))) =
                        step_into(Some(node), step)
                    else {
                        column.missing.push(row);
                        continue;
                    };
                    items.iter().for_each(|item| column.add(row, symbols.key(item.into())));
                }
            }
        }
        column
    }
}

impl Column {
    fn add(&mut self, row: u32, key: Option<Key>) {
        let Some(key) = key else { return };
        let rows = self.by_key.entry(key).or_default();
        if rows.last() != Some(&row) {
            rows.push(row);
        }
    }

    /// Adds the rows of the block that begins at `start` that have a key.
    pub(crate) fn add_with(&self, key: Key, start: usize, rows: &mut Rows) {
        if let Some(having) = self.by_key.get(&key) {
            add(having, start, rows);
        }
    }

    /// Returns about how many bytes of memory the column takes.
    pub(crate) fn bytes(&self) -> usize {
        let lists = self.by_key.values().chain(self.alike.iter().flatten());
        let rows: usize = lists.chain([&self.missing]).map(Vec::capacity).sum();
        let lists = self.by_key.capacity() + self.alike.as_ref().map_or(0, Vec::len);
        size_of::<Self>() + rows * size_of::<u32>() + lists * size_of::<(Key, Vec<u32>)>()
    }

    /// Returns the rows of the block that begins at `start` that have nothing.
    pub(crate) fn without_value(&self, start: usize) -> Rows {
        let mut rows = Rows::NONE;
        add(&self.missing, start, &mut rows);
        rows
    }
}

/// Adds those of sorted rows that are in the block that begins at `start`.
pub(crate) fn add(sorted: &[u32], start: usize, rows: &mut Rows) {
    let place = |row: u32| row as usize;
    let from = sorted.partition_point(|row| place(*row) < start);
    for row in sorted.get(from..).unwrap_or_default() {
        let place = place(*row) - start;
        if place >= BLOCK {
            break;
        }
        rows.insert(place);
    }
}

fn id(node: &Node) -> &str {
    node.entity.uid.id().unescaped()
}

/// Returns the first bytes of an id, in an order that is that of ids which differ in them: to compare
/// them takes no look at the entities.
fn start(id: &str) -> u128 {
    let mut first = [0; 16];
    for (to, from) in first.iter_mut().zip(id.bytes()) {
        *to = from;
    }
    u128::from_be_bytes(first)
}

/// What is kept is whole at any time: a panic elsewhere leaves nothing half made.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables").field("count", &lock(&self.0).len()).finish()
    }
}
