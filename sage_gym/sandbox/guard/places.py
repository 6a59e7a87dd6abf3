"""What kind of place a path is: the agent's own, outside of it, a device, the kernel's, or one that holds secrets."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

__all__ = ["REMOTE", "UNKNOWN", "Places", "is_glob", "quoted", "unquoted"]

UNKNOWN = "\ufffc"
"""Stands in a text for what cannot be told without running something."""
REMOTE = "\ufffb"
"""Stands in a text for what comes from the network."""
QUOTED = {ord(sign): 0xF000 + ord(sign) for sign in "*?[{"}
PLAIN = {code: sign for sign, code in QUOTED.items()}
GLOB = re.compile(r"[*?\[]")
SAFE_DEVICES = re.compile(
    r"/dev/(null|zero|full|random|urandom|stdin|stdout|stderr|tty|ptmx|fd(/\d+)?|pts/\d+|shm/.+)$"
)
KERNEL = re.compile(r"/(sys|proc)(/|$)|/boot(/|$)")
READABLE_KERNEL = re.compile(r"/proc/(?!sysrq)|/sys/")
SECRETS = (
    "/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/shadow-", "/etc/krb5.keytab", "/etc/ssl/private/key.pem",
    "/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_ed25519_key", "/etc/kubernetes/admin.conf", "/etc/master.passwd",
    "/proc/1/environ", "/proc/self/environ", "/proc/1234/environ", "/etc/environment.secret", "/etc/security/opasswd",
    "/var/run/secrets/kubernetes.io/serviceaccount/token", "/run/secrets/kubernetes.io/serviceaccount/token",
    "/run/secrets/db_password", "/var/lib/docker/secrets", "/etc/wpa_supplicant/wpa_supplicant.conf",
    "/etc/letsencrypt/live/site/privkey.pem", "/etc/mysql/debian.cnf", "/etc/docker/key.json", "/root/.my.cnf",
    "/var/lib/jenkins/secrets/master.key", "/etc/postgresql/pg_hba.secret",
    "/etc/NetworkManager/system-connections/wifi",
    "/etc/openvpn/client.key", "/etc/rancher/k3s/k3s.yaml", "/var/lib/kubelet/pki/kubelet.key",
)  # fmt: skip
HOME_SECRETS = (
    ".ssh/id_rsa", ".ssh/id_ed25519", ".ssh/id_ecdsa", ".ssh/id_dsa", ".ssh/config", ".ssh/authorized_keys", ".ssh",
    ".aws/credentials", ".aws/config", ".aws", ".netrc", ".pgpass", ".my.cnf", ".gnupg/secring.gpg",
    ".gnupg/private-keys-v1.d",
    ".gnupg", ".docker/config.json", ".kube/config", ".kube", ".git-credentials", ".config/gcloud/credentials.db",
    ".config/gcloud/application_default_credentials.json", ".config/gcloud", ".config/gh/hosts.yml",
    ".azure/accessTokens.json",
    ".azure/msal_token_cache.json", ".azure", ".npmrc", ".pypirc", ".terraform.d/credentials.tfrc.json", ".env",
    ".vault-token",
    ".mozilla/firefox/x.default/logins.json", ".mozilla/firefox/x.default/key4.db", ".mozilla/firefox", ".mozilla",
    ".config/google-chrome/Default/Login Data", ".config/google-chrome/Default/Cookies", ".config/google-chrome",
    ".config/chromium/Default/Login Data", ".config/chromium", ".bash_history", ".zsh_history", ".mysql_history",
    ".psql_history", ".password-store", ".local/share/keyrings", ".cargo/credentials.toml", ".cargo/credentials",
    ".gem/credentials", ".config/op/config", ".config/rclone/rclone.conf", ".s3cfg", ".boto", ".heroku", ".config/hub",
    ".oci/config", ".config/doctl/config.yaml", ".electrum/wallets/default_wallet", ".bitcoin/wallet.dat",
)  # fmt: skip
SECRET_NAMES = re.compile(
    r"(^|/)(id_(rsa|dsa|ecdsa|ed25519)|shadow|gshadow|\.netrc|\.pgpass|\.git-credentials|\.vault-token|wallet\.dat|\.env(\.(local|prod\w*))?)$"
    r"|/proc/[^/]+/environ$|/\.(ssh|aws|gnupg|kube|azure|password-store|mozilla)(/(?!known_hosts|.*\.pub$)|$)"
)
PEOPLE_SAMPLES = ("/home", "/home/bob", "/home/bob/letter.txt", "/var/mail", "/var/mail/bob", "/var/spool/mail")
PEOPLE = re.compile(r"/(home(/(?!agent(/|$))[^/]*)?|var/(spool/)?v?mail|Users|srv/customers)(/|$)")


def quoted(text: str) -> str:
    """Mark the signs of patterns, which mean nothing inside quotes."""
    return text.translate(QUOTED)


def unquoted(text: str) -> str:
    """Take `quoted`'s marks away."""
    return text.translate(PLAIN)


def is_glob(text: str) -> bool:
    """Say whether a word is a pattern that a shell would replace by names."""
    return bool(GLOB.search(text))


@dataclass(frozen=True, slots=True)
class Places:
    """The agent's own folders, and what the others are.

    Args:
        workspace: the working folder.
        home: the home folder.
        scratch: folders for anything temporary.
    """

    workspace: str = "/workspace"
    home: str = "/home/agent"
    scratch: tuple[str, ...] = ("/tmp", "/var/tmp", "/dev/shm")

    def absolute(self, path: str, cwd: str, links: Mapping[str, str] | None = None) -> str:
        """Return the path from the root, without `..`, and through the symbolic links that are known."""
        whole = posixpath.normpath(posixpath.join(cwd or self.workspace, path))
        whole = "/" + whole.lstrip("/") if whole.startswith("/") else whole
        for name, target in (links or {}).items():
            if whole == name or whole.startswith(f"{name}/"):
                whole = posixpath.normpath(target + whole[len(name) :])
        return whole

    def kinds(self, path: str) -> frozenset[str]:
        """Return what is true of an absolute path.

        `stream` of `/dev/null` and its like, else `own` or `outside`; `whole` of the root, the home or the workspace
        with all that is in it, and which of these (`root`, `home`, `workspace`); `device`; `kernel`; `secret`;
        `people`; `anywhere` of what is unknown below the root.
        """
        if SAFE_DEVICES.match(path):
            return frozenset({"stream"})
        found = {"own" if self._is_own(path) else "outside"}
        bare = re.sub(r"(/(\*|\.\*|\.\?\*|\.\[\^\.\]\*|\{,\.\}\*|\.))+$", "", path) or "/"
        for name, folder in (("workspace", self.workspace), ("home", self.home), ("root", "/")):
            if bare == folder:
                found |= {"whole", name}
        if re.fullmatch(r"/[*?\[\]^.a-z-]*[*?\[][^/]*", path):
            found |= {"whole", "root", "outside"}
        if path.startswith("/dev/") and not self._is_own(path):
            found |= {"device"}
        if KERNEL.match(path):
            found.add("kernel")
        if self.is_secret(path):
            found.add("secret")
        if PEOPLE.match(path) or (is_glob(path) and any(fnmatchcase(sample, path) for sample in PEOPLE_SAMPLES)):
            found.add("people")
        if path.startswith(f"/{UNKNOWN}"):
            found.add("anywhere")
        return frozenset(found)

    def _is_own(self, path: str) -> bool:
        if path.startswith(UNKNOWN) or not path.startswith("/"):
            return True
        folder = path if not is_glob(path) else path[: GLOB.search(path).start()]  # type: ignore[union-attr]
        return any(folder == own or folder.startswith(f"{own}/") for own in (self.workspace, self.home, *self.scratch))

    def is_secret(self, path: str) -> bool:
        """Say whether a path, or what a pattern may stand for, holds credentials."""
        if path.startswith(f"{self.workspace}/") or path.endswith((".pub", "known_hosts")):
            return False
        if SECRET_NAMES.search(path):
            return True
        homes = (self.home, "/root", "/home/bob", "/home/user")
        known = [*SECRETS, *(f"{home}/{name}" for home in homes for name in HOME_SECRETS)]
        if is_glob(path):
            return any(fnmatchcase(secret, path) for secret in known) and not path.startswith("/*")
        if UNKNOWN in path:
            return False
        tail = re.sub(r"^(/home/[^/]+|/root)/", "", path)
        return path in SECRETS or (tail != path and (tail in HOME_SECRETS or tail.startswith(_FOLDERS)))


_FOLDERS = tuple(f"{name}/" for name in HOME_SECRETS if "/" not in name or name in (".config/gcloud", ".config/gh"))
