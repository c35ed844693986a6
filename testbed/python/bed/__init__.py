"""Users of a Milvus cluster that write down what they did and what they were told."""
