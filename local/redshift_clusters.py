"""The API of Redshift, as far as somebody asks it where a cluster listens."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree

from local.redshift import Redshift

Answer = tuple[int, dict[str, str], bytes]
XML_NAMESPACE = "http://redshift.amazonaws.com/doc/2012-12-01/"
HOST = "127.0.0.1"


class RedshiftApi:
    """The service, with DescribeClusters of one cluster; `handle` is for MiniStack."""

    def __init__(self, redshift: Redshift) -> None:
        self._redshift = redshift

    async def handle(
        self, _method: str, _path: str, _headers: Any, body: bytes, query: Mapping[str, list[str]]
    ) -> Answer:
        asked = {**query, **parse_qs(body.decode())}
        [operation], [name] = asked["Action"], asked.get("ClusterIdentifier", [""])
        if operation != "DescribeClusters":
            return _refused("InvalidAction", f"not on the laptop: {operation}")
        warehouse = self._redshift.warehouses.get(name)
        if warehouse is None or name in self._redshift.workgroups:
            return _refused("ClusterNotFound", f"Cluster {name} not found.")
        root = ElementTree.Element("DescribeClustersResponse", xmlns=XML_NAMESPACE)
        result = ElementTree.SubElement(root, "DescribeClustersResult")
        cluster = ElementTree.SubElement(ElementTree.SubElement(result, "Clusters"), "Cluster")
        ElementTree.SubElement(cluster, "ClusterIdentifier").text = name
        ElementTree.SubElement(cluster, "ClusterStatus").text = "available"
        endpoint = ElementTree.SubElement(cluster, "Endpoint")
        ElementTree.SubElement(endpoint, "Address").text = HOST
        ElementTree.SubElement(endpoint, "Port").text = str(warehouse.port)
        return _answer(200, root)


def _refused(code: str, message: str) -> Answer:
    root = ElementTree.Element("ErrorResponse", xmlns=XML_NAMESPACE)
    error = ElementTree.SubElement(root, "Error")
    for tag, text in (("Type", "Sender"), ("Code", code), ("Message", message)):
        ElementTree.SubElement(error, tag).text = text
    return _answer(400, root)


def _answer(status: int, root: ElementTree.Element) -> Answer:
    return status, {"Content-Type": "text/xml"}, ElementTree.tostring(root)
