"""What we claim about speed, measured against a floor or a peer in the same run: proportions, never absolute numbers.

``python -m benchmarks [name …] [--quick]``. Machines and hours differ; what stands in the same table was measured in
turn (A B A B), so it had the same machine and the same neighbours.
"""
