"""Save the comparison of docs/wandb.md as a view of W&B: python examples/wandb_view.py ENTITY GROUP.

The view shows the runs of one group, for example a benchmark or a dataset, panel by panel. It needs an account, and
`pip install 'wandb[workspaces]'`.
"""

import argparse

try:
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws
except ImportError as missing:
    raise SystemExit("error: wandb_workspaces is not installed; pip install 'wandb[workspaces]'") from missing

METHOD = "JobType"  # the job type of a run is its method
ANOMALY = ("standard/pixel_auroc", "standard/aupro", "standard/pixel_ap", "standard/best_f1", "standard/image_auroc")
RESTORATION = ("standard/psnr", "standard/ssim")
COST = ("seconds_per_image", "evaluations_per_image", "peak_memory_mib")


def comparison(entity: str, project: str, group: str) -> ws.Workspace:
    """The view of one group of runs.

    Args:
        entity: user or team of W&B.
        project: project of the runs.
        group: group of the runs.
    """
    sections = [
        ws.Section(name="1 Scores", panels=[bars(name) for name in (*ANOMALY, *RESTORATION)], is_open=True),
        ws.Section(name="2 Cost", panels=[*map(bars, COST), *map(against_cost, ANOMALY[:2])], is_open=True),
        ws.Section(name="3 Convergence", panels=[convergence()], is_open=True),
        ws.Section(name="4 Pictures", panels=[wr.WeavePanelSummaryTable(table_name="pictures")], is_open=True),
        ws.Section(name="5 Settings", panels=[wr.RunComparer(diff_only="split")], is_open=False),
    ]
    runs = ws.RunsetSettings(
        filters=ws.And(ws.Metric("Group") == group),
        groupby=[ws.Metric(METHOD)],
        pinned_columns=[f"summary:{name}" for name in (*ANOMALY[:2], "seconds_per_image")],
    )
    settings = ws.WorkspaceSettings(max_runs=100)
    name = f"Methods of {group}"
    return ws.Workspace(
        entity=entity, project=project, name=name, sections=sections, settings=settings, runset_settings=runs
    )


def bars(metric: str) -> wr.BarPlot:
    """The mean of a score for each method over test sets and seeds, with its range."""
    return wr.BarPlot(
        title=metric, metrics=[metric], groupby=METHOD, groupby_aggfunc="mean", groupby_rangefunc="minmax"
    )


def against_cost(metric: str) -> wr.ScatterPlot:
    """A score against the seconds for an image, one point for each run."""
    return wr.ScatterPlot(title=f"{metric} against time", x="seconds_per_image", y=metric, log_x=True)


def convergence() -> wr.LinePlot:
    """The median objective over images at each iteration, one line for each method."""
    return wr.LinePlot(
        title="convergence",
        x="trainer/global_step",
        y=["convergence/median"],
        title_x="iteration",
        title_y="median objective",
        log_y=True,
        groupby=METHOD,
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("entity", help="user or team of W&B")
    parser.add_argument("group", help="group of the runs: a benchmark such as anomaly, or a dataset such as mvtec_ad")
    parser.add_argument("--project", default="robust-gan-inversion", help="project of the runs")
    given = parser.parse_args()
    print(comparison(given.entity, given.project, given.group).save().url)
