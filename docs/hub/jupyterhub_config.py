"""A hub on one machine: each student's server is a container of the course's image.
docs/hub.md explains it.

    sudo .venv/bin/jupyterhub -f docs/hub/jupyterhub_config.py

Needs Docker, the image (binder/Dockerfile) and what `make hub` installs. docs/hub.md says where its
numbers come from.
"""

import sys
from pathlib import Path

c = get_config()  # noqa: F821, JupyterHub defines it

DATA = "/srv/course-data"  # one folder for all students, with MNIST in it
IDLE = 3600  # seconds after which an idle server ends; its files stay
PROGRAMS = Path(sys.prefix)  # where `make hub` installs

# ---------------------------------------------------------------- what a student gets

# The most demanding chapter peaks at 1.6 GB. This leaves room for the server and for a second
# kernel.
c.Spawner.mem_limit = "3G"
c.Spawner.cpu_limit = 2  # one for the kernel, one for the server and a second notebook
c.Spawner.environment = {
    "OMP_NUM_THREADS": "1",  # else each kernel starts a thread for each core of the machine
    "COURSE_DATA": DATA,
}
c.Spawner.default_url = "/lab"
c.Spawner.cmd = ["jupyterhub-singleuser"]
c.Spawner.args = [
    "--KernelManager.transport_encryption=auto",  # messages to a kernel are nobody else's to read
    # A notebook that was left gives its memory back, even if its tab is open; what computes goes
    # on.
    "--MappingKernelManager.cull_idle_timeout=1800",
    "--MappingKernelManager.cull_connected=True",
]
c.Spawner.start_timeout = 300
# When a lecture begins, 200 servers start at once, and each takes its time.
c.Spawner.http_timeout = 120

# ---------------------------------------------------------------- where it runs

c.JupyterHub.spawner_class = "docker"
c.DockerSpawner.image = "course-hub"
c.DockerSpawner.remove = True  # a container ends with its server; the volume keeps the home
c.DockerSpawner.volumes = {"course-{username}": "/home/jovyan"}
c.DockerSpawner.read_only_volumes = {DATA: DATA}
c.DockerSpawner.extra_host_config = {"pids_limit": 512}  # processes and threads together
c.JupyterHub.hub_ip = "172.17.0.1"  # Docker's own bridge, over which the containers reach the hub

# ---------------------------------------------------------------- how it is reached

# A web server in front of it speaks HTTPS. Without one, anybody on the way could read the
# passwords.
c.JupyterHub.bind_url = "http://127.0.0.1:8000"
c.ConfigurableHTTPProxy.command = [
    str(PROGRAMS / "node_modules" / ".bin" / "configurable-http-proxy")
]

# ---------------------------------------------------------------- who may log in

# The accounts of this machine. For your university's own login, put a class of `oauthenticator`
# here instead.
c.JupyterHub.authenticator_class = "pam"
c.PAMAuthenticator.allowed_groups = {"students"}
c.PAMAuthenticator.admin_groups = {"instructors"}

# ---------------------------------------------------------------- ending what is idle

culler = [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={IDLE}"]
c.JupyterHub.services = [{"name": "idle-culler", "command": culler}]
c.JupyterHub.load_roles = [
    {
        "name": "idle-culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["idle-culler"],
    }
]
