//! Policies and entities that are edited: after each step everything is as if it had just been
//! loaded, and as Cedar has it.

mod entities;
mod loading;
mod policies;
mod threads;
