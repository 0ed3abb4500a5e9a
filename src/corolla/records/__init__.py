"""Records: TFRecord framing, `tf.train.Example`, and the shards of a split on the disk. Takes: files. Gives: examples."""
