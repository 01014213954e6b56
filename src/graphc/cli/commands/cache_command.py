"""``graphc cache``: shows or empties the cache of results of slow passes."""

from __future__ import annotations

import json

import click

from graphc.cli.command import JSON, Failures, command


@click.command("cache")
@click.option("--clear", "clears", is_flag=True, help="Remove all entries not in use.")
@JSON
@command
def cache_command(failures: Failures, clears: bool, as_json: bool) -> None:
    """Show where the results of slow passes are kept, and how much they take; or remove them."""
    from graphc.build.report import human_bytes
    from graphc.pass_cache.pass_cache import cache_folder, cache_limit, clear, entries_of

    folder = cache_folder()
    if clears:
        count, size = clear(folder)
        click.echo(
            json.dumps({"removed": count, "bytes": size}) if as_json else f"removed {count}, {human_bytes(size)}"
        )
        return
    entries = entries_of(folder)
    size = sum(entry.size for entry in entries)
    if as_json:
        found = {"folder": str(folder), "entries": len(entries), "bytes": size, "limit": cache_limit()}
        click.echo(json.dumps(found))
        return
    click.echo(f"{folder}: {len(entries)} results, {human_bytes(size)} of {human_bytes(cache_limit())}")
