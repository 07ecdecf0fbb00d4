//! The API server for tests, seen by its clients: kube-rs and a real `kubectl`. With `KUBEBUILDER_ASSETS` set,
//! everything but faults is asked of a real server.

mod accounts;
mod admission;
mod binary;
mod faults;
mod kubectl;
mod lists;
mod objects;
mod patches;
mod speed;
mod support;
mod watches;
