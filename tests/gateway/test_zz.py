import time
from pathlib import Path
from tests.world import *
def test_t(tmp_path, database_url):
    t=time.time(); n=make_node(tmp_path, WUJIANG, database_url); print('make',time.time()-t)
    t=time.time(); n2=make_node(tmp_path, QINGPU); print('make2 sqlite fresh',time.time()-t)
    t=time.time(); introduce(n,n2); print('intro', time.time()-t)
    t=time.time(); bring_plan(plan_document(SITES,ANTIMONY),n,n2); print('plan', time.time()-t)
    from gateway.ingest.submissions import submit
    t=time.time(); print(submit(n.gateway,n.station(),"application/x-ndjson",site_line()+b"\n"+reading_line(),now=now_millis())); print('submit', time.time()-t)
    t=time.time(); print(n.gateway.publisher.publish_due(now=now_millis())); print('publish', time.time()-t)
    t=time.time(); n.stop();n2.stop(); print('stop',time.time()-t)
