//! Simulation of milvus-coord.
