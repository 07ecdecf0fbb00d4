//! The datapath.
#![no_std]
