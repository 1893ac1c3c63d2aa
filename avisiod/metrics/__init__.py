"""Prometheus metrics of the control process, in a registry of their own. No call, number or person is a label.

One module for each room, with a class that makes its metrics in the registry it is given; `Metrics` joins them. Every
label is a closed list, and every series of it is there from the start.
"""

from importlib.metadata import version

from prometheus_client import CollectorRegistry, Info
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from avisiod import compiled
from avisiod.metrics.backups import BackupMetrics
from avisiod.metrics.board import BoardMetrics
from avisiod.metrics.boxes import BoxMetrics
from avisiod.metrics.calls import CallMetrics
from avisiod.metrics.certificates import CertificateMetrics
from avisiod.metrics.control import ControlMetrics
from avisiod.metrics.conversions import ConversionMetrics
from avisiod.metrics.doors import DoorMetrics
from avisiod.metrics.hooks import HookMetrics
from avisiod.metrics.media import MediaMetrics
from avisiod.metrics.phones import PhoneMetrics
from avisiod.metrics.provisioning import ProvisioningMetrics
from avisiod.metrics.retention import RetentionMetrics
from avisiod.metrics.sms import SmsMetrics
from avisiod.metrics.sms_routes import SmsRouteMetrics
from avisiod.metrics.workers import WorkerMetrics
from avisiod.metrics.world import WorldMetrics


class Metrics:
    """Everything that is measured. Methods return at once and never raise for a value that is out of the ordinary."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        hot_path = "compiled" if compiled.form().startswith("compiled") else "plain"
        Info("avisiod_build", "The program that runs; a plain hot path costs a third more.", registry=registry).info(
            {"version": version("avisiod"), "hot_path": hot_path}
        )
        self.backups = BackupMetrics(registry)
        self.retention = RetentionMetrics(registry)
        self.boxes = BoxMetrics(registry)
        self.calls = CallMetrics(registry)
        self.certificates = CertificateMetrics(registry)
        self.control = ControlMetrics(registry)
        self.media = MediaMetrics(registry)
        self.world = WorldMetrics(registry)
        self.phones = PhoneMetrics(registry)
        self.provisioning = ProvisioningMetrics(registry)
        self.sms = SmsMetrics(registry)
        self.hooks = HookMetrics(registry)
        self.boards = BoardMetrics(registry)
        self.sms_routes = SmsRouteMetrics(registry, self.sms)
        self.workers = WorkerMetrics(registry)
        self.doors = DoorMetrics(registry)
        self.conversions = ConversionMetrics(registry)
