//! Rules that mean harm: each is refused or cut off with its own error.

mod alone;
mod caching;
mod calls;
mod loading;
mod neighbours;
mod reloading;
mod rules;
mod sharing;
