"""Records: TFRecord framing, `tf.train.Example`, the shards of a split. Takes: files. Gives: examples."""
