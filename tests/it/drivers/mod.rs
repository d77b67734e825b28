//! One suite for every driver.

mod conformance;
<<<<<<< HEAD
mod elasticsearch;
=======
mod mongodb;
>>>>>>> mongo
