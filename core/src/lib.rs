//! A sans-IO state machine for gateways.
