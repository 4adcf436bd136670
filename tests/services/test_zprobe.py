import time, shutil
from tests.services.test_slurm import submit, ended
def test_probe(slurm):
    t=time.time(); job = submit(slurm, "exit 3"); print("submit", time.time()-t)
    t=time.time(); print(ended(slurm, job)); print("ended", time.time()-t)
    for i in range(4):
        t=time.time()
        d=slurm.run("sacct", "-c", "-n", "-P", "-o", "jobid,state,exitcode", "-j", job, check=False)
        print("sacct", time.time()-t, d.returncode, repr(d.stdout[-300:]), repr(d.stderr[-600:]))
    shutil.copy(slurm.directory/"log"/"jobcomp.txt", "/tmp/jobcomp.copy")
