//! coalmine-wire
