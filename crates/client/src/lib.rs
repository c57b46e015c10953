//! coalmine-client
