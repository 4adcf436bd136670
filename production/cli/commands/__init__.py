"""The commands of ``production``, one module each: ``add_to`` gives argparse its options, the rest answers."""
