"""dynsim doctor: check this installation and name remedies."""

from __future__ import annotations

import click

from dynsim._files import to_json

from ._installation_checks import BROKEN, examine


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(as_json):
    """Check the installation: packages, kernels and their cache, threads, GPU, data sets, ffmpeg, browser.

    For everything that is missing a remedy is named. The exit code is 1 only if something that every command needs does
    not work; other missing parts matter only to the commands that use them.

    \b
    dynsim doctor
    dynsim doctor --json
    """
    findings = list(examine())
    broken = [finding for finding in findings if finding.status == BROKEN]
    if as_json:
        click.echo(to_json({"well": not broken, "findings": [finding.to_dict() for finding in findings]}))
    else:
        click.echo(_text(findings))
        click.echo(f"\n{len(broken)} broken." if broken else "\nAll that is needed is there.")
    if broken:
        raise SystemExit(1)


def _text(findings):
    width = max(len(finding.name) for finding in findings)
    lines, section = [], None
    for finding in findings:
        if finding.section != section:
            section = finding.section
            lines += ([""] if lines else []) + [section]
        lines.append(f"  {finding.status:7} {finding.name:<{width}}  {finding.found}")
        if finding.remedy:
            lines.append(f"  {'':7} {'':<{width}}  -> {finding.remedy}")
    return "\n".join(lines)
