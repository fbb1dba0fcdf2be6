"""A real etcd cluster of three members on loopback, and certificates of a throw-away authority."""

import datetime
import ipaddress
import random
import socket
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chorus.mesh.etcd_servers import EtcdServers, Place
from chorus.mesh.tls import Credentials


class Authority:
    """Issues certificates for 127.0.0.1 into a directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {directory.name}")])
        root = self._issue(self._name, self._key, 0, 365, authority=True)
        (directory / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, begins: int = -1, ends: int = 30) -> Credentials:
        """Write `name.pem` and `name-tls.key`, valid between these days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._issue(subject, key, begins, ends, authority=False)
        credentials = Credentials(*(self.directory / n for n in ("ca.pem", f"{name}.pem", f"{name}-tls.key")))
        credentials.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        credentials.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return credentials

    def _issue(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, begins: int, ends: int, authority: bool
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=begins, minutes=-5))
            .not_valid_after(now + datetime.timedelta(days=ends))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            built = built.add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            ).add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
        return built.sign(self._key, hashes.SHA256())


def free_ports(count: int) -> list[int]:
    """Return ports nobody listens on now, outside the range that outgoing connections are given."""
    found: list[int] = []
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first = int(file.read().split()[0])
    while len(found) < count:
        port = random.randrange(10_000, min(first, 65_535)) if first > 11_000 else random.randrange(61_000, 65_535)
        with socket.socket() as probe:
            if port not in found and probe.connect_ex(("127.0.0.1", port)) != 0:
                found.append(port)
    return found


def etcd(directory: Path, authority: Authority) -> EtcdServers:
    """Start three etcd members on loopback."""
    ports = free_ports(6)
    places = [Place("127.0.0.1", client, peer) for client, peer in zip(ports[:3], ports[3:], strict=True)]
    return EtcdServers(directory, places, authority.issue("etcd"))
