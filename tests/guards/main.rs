//! Guards: what loads, which rules are asked, and what follows when they say no or nothing.

mod answers;
mod loading;
mod partial;
mod spec;
mod table;
