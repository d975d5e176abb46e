//! What a cluster decides: partitions, controller, groups, configuration. Pure: no tokio, no clock.
