"""What is said to somebody who has typed a command wrongly; click's own sentences are English."""

import sys
from typing import Any

import click


class Commands(click.Group):
    """The group of all commands."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        options |= {"standalone_mode": False, "prog_name": "app.py"}
        try:
            sys.exit(super().main(*arguments, **options))
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            sys.exit(2)
        except click.UsageError as error:
            place = error.ctx.command_path if error.ctx else "app.py"
            click.echo(f"{sentence(error)}用法见：python {place} --help", err=True)
            sys.exit(2)
        except click.Abort:
            click.echo("\n已取消。", err=True)
            sys.exit(1)


def sentence(error: click.UsageError) -> str:
    """What is wrong."""
    match error:
        case click.NoSuchCommand():
            return f"没有命令 {error.command_name}。"
        case click.NoSuchOption():
            return f"没有选项 {error.option_name}。"
        case click.MissingParameter():
            return f"缺少 {_name(error)}。"
        case click.BadParameter():
            choices = error.param.type.choices if error.param and isinstance(error.param.type, click.Choice) else ()
            return f"{_name(error)} 的值不对" + (f"，应为 {'、'.join(choices)} 之一。" if choices else "。")
        case _:
            return "命令写得不对。"


def _name(error: click.BadParameter) -> str:
    name = error.param.opts[-1] if error.param else ""
    return name if name.startswith("-") else name.upper()
