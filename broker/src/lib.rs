//! The broker shell: sockets, tasks, clocks, handlers. Runs in process through Broker::start.
