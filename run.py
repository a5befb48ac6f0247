"""python run.py experiment=mvtec_rrgi : composes the configuration and runs its task; see rgi.app.main."""

from rgi.app.main import main

if __name__ == "__main__":
    main()
