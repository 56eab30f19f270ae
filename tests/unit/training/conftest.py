from unit.tracking.server import dead_uri, hanging_uri, mlflow_uri

__all__ = ["dead_uri", "hanging_uri", "mlflow_uri"]
