//! ICMP errors about translated packets, and echo requests to services: the library, and the loaded programs against it
//! (which needs root).

mod echo;
mod errors;
mod kernel;
mod others;
mod report;
mod scene;
