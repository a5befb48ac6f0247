"""Build of the wheel; pyproject.toml has everything else. The configuration and the generators go into the package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FILES = ("conf/**/*.yaml", "data/generators/*.json", "data/generators/*.safetensors")


class BuildWithFiles(build_py):
    """Copies `FILES` of the repository to ``rgi/files``; an editable installation reads them in the repository."""

    def run(self) -> None:
        """Build the package."""
        super().run()
        if self.editable_mode:
            return
        for file in (file for pattern in FILES for file in Path().glob(pattern)):
            target = Path(self.build_lib) / "rgi" / "files" / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


setup(cmdclass={"build_py": BuildWithFiles})
