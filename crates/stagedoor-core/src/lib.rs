//! x
mod entities;
mod entity;
mod error;
mod hash;
mod limits;
mod request;
mod value;
pub use entities::Entities;
pub use entity::Entity;
pub use error::{DecideError, EntitiesError, RequestError};
pub use limits::Limits;
pub use request::Request;
pub use value::{Record, Value};
